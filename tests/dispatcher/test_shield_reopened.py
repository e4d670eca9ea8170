"""An alert that is taken up again after its end, which revoked its actions: they are enforced again, and revoked again, each once."""

from __future__ import annotations

import time
from typing import Any

from msgspec.structs import replace

from sentinel.alerting.group import AlertGroup
from sentinel.alerting.matching import match
from sentinel.alerting.records import AlertRecord
from sentinel.anomaly import Anomaly
from sentinel.config.load import parse_config
from sentinel.config.runtime import DetectorAction, RuntimeConfig
from sentinel.shield import of_detector
from sentinel.timestamps import to_rfc3339
from services.dispatcher import shield_orders
from services.dispatcher.delivery import Outcome, Record
from tests.dispatcher.conftest import Bench
from tests.dispatcher.test_shield_delivery import book, deliver, offsets
from tests.support.shield import running_shield

CONFIG = """
alerting:
  resolveTimeout: 5m
  grouping: {groupWait: 0s, groupInterval: 10s}
  definitions:
    - {alert_id: d, name: D, conditions: {trigger: anomaly}, actions: [{type: shield, config: {action: throttle, target: model, duration: 2h}}]}
integrations: {shield: {endpoint: "grpc://127.0.0.1:1"}}
"""
TIMEOUT_MS = 300_000
MINUTE_MS = 60_000


class Life:
    """One alert key through its states, as the operator keeps it."""

    def __init__(self) -> None:
        self.config = RuntimeConfig.from_snapshot(1, parse_config(CONFIG, "test").config.to_snapshot())
        self.state: bytes | None = None

    def records(self, of: Anomaly, now_ms: int, until_ms: int | None = None) -> list[Record]:
        """What an anomaly's record, and the time up to `until_ms`, put on the topic of Shield."""
        (key,) = match(of, self.config)
        group = AlertGroup.from_state(key, self.state, self.config)
        outputs: list[Any] = group.on_anomaly(of, now_ms) + group.on_timer(now_ms) + (group.on_timer(until_ms) if until_ms else [])
        self.state = group.to_state()
        alerts = [output for output in outputs if isinstance(output, AlertRecord)]
        wanted = [alert for alert in alerts if alert.status == "resolved" or alert.shield]
        return [Record(shield_orders.TOPIC, 0, next(offsets), alert.to_json()) for alert in wanted]


def test_what_an_end_revoked_is_enforced_again_when_the_alert_goes_on(bench: Bench) -> None:
    now_ms = round(time.time() * 1000)
    start_ms = now_ms - 30 * MINUTE_MS
    at = to_rfc3339(start_ms)
    values: dict[str, Any] = {"anomaly_id": "an-1", "timestamp": at, "first_seen": at, "last_seen": at, "user_id": "u-1", "model": "gpt"}
    values |= {
        "detector_id": "injection",
        "severity": "critical",
        "score": 1.0,
        "tenant_id": "acme",
        "application_id": "chat",
        "title": "Injection",
    }
    first = Anomaly(**values)
    first.actions_taken = of_detector([DetectorAction(shield="block", shield_config={"duration": "2h"})], first)
    own = Record(shield_orders.TOPIC, 0, next(offsets), first.to_json())
    life = Life()
    with running_shield() as shield:

        def in_force() -> list[str]:
            return sorted(action.target_entity for action in shield.shield.in_force())

        both = ["acme/model:gpt", "acme/user:u-1"]
        assert set(deliver(bench, shield.endpoint, own, *life.records(first, start_ms))) == {Outcome.DELIVERED}
        assert in_force() == both
        # The resolve timeout passes: over, and revoked.
        fold = replace(first, count=2, last_seen=to_rfc3339(start_ms + 1_000), update=True)
        over = life.records(fold, start_ms + 1_000, start_ms + 2_000 + TIMEOUT_MS)
        deliver(bench, shield.endpoint, *over)
        assert in_force() == []
        for count in (3, 4):
            again_ms = start_ms + count * 2 * TIMEOUT_MS
            goes_on = replace(first, count=count, last_seen=to_rfc3339(again_ms), update=True)
            records = life.records(goes_on, again_ms)
            assert deliver(bench, shield.endpoint, *records, *records)[-1] is Outcome.SKIPPED
            assert in_force() == both, f"round {count}"
            later = replace(goes_on, count=count + 1, last_seen=to_rfc3339(again_ms + 1_000))
            deliver(bench, shield.endpoint, *life.records(later, again_ms + 1_000, again_ms + 2_000 + TIMEOUT_MS))
            assert in_force() == [], f"round {count}"
    events = [event["event"] for event in shield.events]
    assert events == ["enforced", "enforced", "revoked", "revoked"] * 3
    assert [row[3] for row in book(bench)] == ["revoked"] * 6


def test_the_time_of_an_action_counts_from_when_its_alert_was_taken_up_again() -> None:
    life, at = Life(), "2026-03-02T12:00:00.000Z"
    values: dict[str, Any] = {"anomaly_id": "an-1", "timestamp": at, "first_seen": at, "last_seen": at, "model": "gpt"}
    first = Anomaly(**values, detector_id="d", severity="critical", score=1.0, tenant_id="acme", application_id="chat")
    life.records(first, 1_000, 2_000 + TIMEOUT_MS)
    later = "2026-03-02T13:30:00.000Z"
    (record,) = life.records(replace(first, count=2, last_seen=later), 4_000 + TIMEOUT_MS)
    order = shield_orders.parse(record.value)
    assert [request.timestamp for request in order.requests] == [later]
