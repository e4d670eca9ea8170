"""Acknowledging and silencing alerts shows in the anomalies behind them, and what people did stands in `actions_taken`."""

from __future__ import annotations

from typing import Any

import msgspec
from test_correlation import T, anomaly

from sentinel.alerting.control import Control
from sentinel.alerting.matching import match
from sentinel.anomaly import Anomaly
from sentinel.config.runtime import RuntimeConfig
from sentinel.correlation import Correlator
from sentinel.timestamps import to_rfc3339

CONFIG = RuntimeConfig(version=1)
NOW = T + 60_000


def request(action: Any, **fields: Any) -> Control:
    return Control(control_id="c", action=action, tenant_id="t", at=to_rfc3339(NOW), by="ann", **fields)


class Run:
    """One tenant's correlator, restarted before every step."""

    def __init__(self) -> None:
        self.correlator = Correlator(CONFIG)
        self.now = NOW
        self.sent: list[Anomaly] = []

    def see(self, name: str, at_s: float, **fields: Any) -> None:
        self._again()
        self.sent += self.correlator.on_anomaly(msgspec.structs.replace(anomaly(name, at_s), **fields), self.now)

    def ask(self, action: Any, **fields: Any) -> None:
        self._again()
        self.correlator.on_control(request(action, **fields), self.now)

    def wait(self, seconds: float) -> None:
        self.now += round(seconds * 1000)
        while (due := self.correlator.next_timer()) is not None and due <= self.now:
            self._again()
            self.sent += self.correlator.on_timer(self.now)

    def _again(self) -> None:
        self.correlator = Correlator.from_state(self.correlator.to_state(), CONFIG)

    def last(self, name: str) -> Anomaly:
        return next(record for record in reversed(self.sent) if record.anomaly_id == name)

    def told(self, name: str) -> list[str]:
        return [action["reason"] for action in self.last(name).actions_taken]


def key_of(name: str) -> str:
    (key,) = match(anomaly(name, 0), CONFIG)
    return key.to_text()


def test_an_acknowledged_alert_acknowledges_its_anomalies_until_they_end() -> None:
    run = Run()
    run.see("one", 0)
    run.see("elsewhere", 0, application_id="b")
    run.wait(2)
    run.ask("ack", group_key=key_of("one"), comment="looking")
    run.wait(2)
    assert (run.last("one").status, run.told("one")) == ("acknowledged", ["acknowledged by ann: looking"])
    assert (run.last("elsewhere").status, run.last("elsewhere").actions_taken) == ("active", [])
    run.see("one", 5)
    run.wait(2)
    assert (run.last("one").status, run.last("one").count) == ("acknowledged", 2)
    run.ask("unack", group_key=key_of("one"))
    run.wait(2)
    assert (run.last("one").status, len(run.told("one"))) == ("active", 2)
    run.ask("ack", group_key=key_of("one"))
    run.ask("resolve", group_key=key_of("one"))
    run.wait(2)
    assert run.last("one").status == "resolved"
    run.see("one", 9)
    run.wait(2)
    assert run.last("one").status == "active", "it goes on: nobody has acknowledged that"


def test_a_silence_suppresses_what_is_there_and_what_comes_and_ends() -> None:
    run = Run()
    run.see("before", 0)
    run.ask("silence", silence_id="s1", matchers=['application_id="a"'], until_ms=run.now + 60_000, comment="planned")
    run.wait(2)
    assert (run.last("before").status, run.told("before")) == ("suppressed", ["silenced by ann: planned"])
    run.see("during", 4)
    first = run.last("during")
    assert (first.status, first.update, first.actions_taken) == ("suppressed", False, [])
    run.see("other", 4, application_id="b")
    run.wait(2)
    assert run.told("during") == ["silenced by ann: planned"] and run.last("other").status == "active"
    run.wait(60)
    assert {name: run.last(name).status for name in ("before", "during", "other")} == dict.fromkeys(("before", "during", "other"), "active")
    run.ask("silence", silence_id="s2", matchers=['application_id="a"'], until_ms=run.now + 60_000)
    run.wait(2)
    assert run.last("during").status == "suppressed"
    run.ask("expire", silence_id="s2")
    run.wait(2)
    assert run.last("during").status == "active" and run.told("during")[-1] == "silence ended by ann"


def test_orders_to_shield_stay_before_what_people_did() -> None:
    run = Run()
    order = {"action": "shield_block", "status": "pending"}
    run.see("one", 0, actions_taken=[order])
    run.ask("ack", group_key=key_of("one"))
    run.wait(2)
    run.see("one", 3)
    run.wait(2)
    assert run.last("one").actions_taken[0] == order and len(run.last("one").actions_taken) == 2


def test_what_cannot_be_done_changes_nothing() -> None:
    run = Run()
    run.see("one", 0)
    run.ask("ack", group_key="no key")
    run.ask("silence", silence_id="s", matchers=['application_id=~".*"'], until_ms=run.now + 60_000)
    run.ask("silence", silence_id="s", matchers=['application_id="a"'], until_ms=run.now - 1)
    run.ask("snooze", group_key=key_of("one"), until_ms=run.now + 60_000)
    run.wait(2)
    assert (run.last("one").status, run.last("one").actions_taken) == ("active", [])
