"""Acknowledging and silencing alerts shows in the anomalies behind them, and what people did stands in `actions_taken`."""

from __future__ import annotations

from typing import Any

import msgspec
from test_correlation import T, anomaly

from sentinel.alerting.control import Control
from sentinel.alerting.matching import match
from sentinel.anomaly import Anomaly
from sentinel.config.runtime import MaintenanceWindow, Matcher, RuntimeConfig
from sentinel.correlation import Correlator
from sentinel.timestamps import to_rfc3339

CONFIG = RuntimeConfig(version=1)
NOW = T + 60_000


def request(action: Any, **fields: Any) -> Control:
    return Control(control_id="c", action=action, tenant_id="t", at=to_rfc3339(NOW), by="ann", **fields)


class Run:
    """One tenant's correlator, restarted before every step."""

    def __init__(self, config: RuntimeConfig = CONFIG) -> None:
        self.config = config
        self.correlator = Correlator(config)
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
        self.correlator = Correlator.from_state(self.correlator.to_state(), self.config)

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


def test_a_snooze_suppresses_the_alert_and_nothing_else_until_it_is_over() -> None:
    run = Run()
    run.see("one", 0)
    run.see("elsewhere", 0, application_id="b")
    run.ask("ack", group_key=key_of("one"))
    run.ask("snooze", group_key=key_of("one"), until_ms=run.now + 60_000, comment="after lunch")
    run.wait(2)
    assert (run.last("one").status, run.last("elsewhere").status) == ("suppressed", "active")
    assert run.told("one")[-1] == f"snoozed until {to_rfc3339(NOW + 60_000)} by ann: after lunch"
    run.see("again", 4)
    assert run.last("again").status == "suppressed", "a further anomaly of the same alert"
    run.see("worse", 4, severity="critical")
    assert run.last("worse").status == "active", "an alert of other labels, which is told"
    run.wait(62)
    assert (run.last("one").status, run.last("again").status) == ("acknowledged", "active")
    assert run.told("one")[-1] == run.told("again")[-1] == "no longer suppressed: the snooze is over"


def test_a_snoozed_alert_that_is_declared_over_is_snoozed_no_more() -> None:
    run = Run()
    run.see("one", 0)
    run.ask("snooze", group_key=key_of("one"), until_ms=run.now + 60_000)
    run.ask("resolve", group_key=key_of("one"))
    run.see("next", 9)
    assert run.last("next").status == "active"


def _at(hour_minute: str, duration_s: float = 90.0) -> MaintenanceWindow:
    hour, minute = hour_minute.split(":")
    matcher = Matcher("application_id", "=", "a")
    return MaintenanceWindow(
        name="upgrade", schedule=f"{int(minute)} {int(hour)} * * *", duration_s=duration_s, matchers=(matcher,), timezone="UTC"
    )


def test_a_maintenance_window_suppresses_from_its_start_to_its_end() -> None:
    opens_ms = NOW - NOW % 60_000 + 120_000
    window = _at(to_rfc3339(opens_ms)[11:16])
    run = Run(RuntimeConfig(version=1, maintenance_windows=(window,)))
    run.see("one", 0)
    run.see("elsewhere", 0, application_id="b")
    run.wait(2)
    assert run.last("one").status == "active"
    run.wait((opens_ms - run.now) / 1000 + 2)
    assert (run.last("one").status, run.told("one")) == ("suppressed", ["suppressed: maintenance window upgrade"])
    assert run.last("elsewhere").status == "active"
    run.see("during", 4)
    assert run.last("during").status == "suppressed"
    run.wait(90)
    assert {name: run.last(name).status for name in ("one", "during")} == dict.fromkeys(("one", "during"), "active")
    assert run.told("one")[-1] == "no longer suppressed: maintenance window upgrade is over"


def test_a_window_that_is_taken_out_of_the_configuration_suppresses_no_more() -> None:
    run = Run(RuntimeConfig(version=1, maintenance_windows=(_at("0:0", 86_400.0),)))
    run.see("one", 0)
    assert run.last("one").status == "suppressed"
    run.wait(2)
    run.correlator.apply_config(CONFIG)
    run.config = CONFIG
    run.see("other", 2, application_id="b")
    run.wait(2)
    assert run.last("one").status == "active"


def test_the_clock_is_never_asked_for_a_time_that_has_long_passed() -> None:
    """A job's timer is called with the time that it was set for."""
    run = Run(RuntimeConfig(version=1, maintenance_windows=(_at("0:0", 86_400.0),)))
    run.see("one", 0)
    run._again()
    for _ in range(3):
        due_ms = run.correlator.next_timer()
        assert due_ms is not None and run.now <= due_ms
        run.sent += run.correlator.on_timer(due_ms)
    assert run.told("one") == ["suppressed: maintenance window upgrade"]


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
    run.ask("snooze", group_key=key_of("one"), until_ms=run.now)
    run.wait(2)
    assert (run.last("one").status, run.last("one").actions_taken) == ("active", [])
