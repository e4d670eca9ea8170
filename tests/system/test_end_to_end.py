"""From telemetry to people who are told: one attack and some slow calls, followed through every sink; and what happens to late events."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import Any
from uuid import uuid4

import pytest

from sentinel.settings import JobSettings
from tests.support.configuration import ATTACK, SLOW_MS, configuration
from tests.support.receivers import Receivers
from tests.support.shield import RunningShield
from tests.support.stack import Stack
from tests.support.streams import Sent
from tests.support.telemetry import MINUTE_MS, Segments, record, request, response, ticks
from tests.support.waiting import wait_for

pytestmark = pytest.mark.stack

TENANT = f"e2e-{uuid4().hex[:8]}"
CALM_CALLS = 600
SLOW_CALLS = 3
BROKEN = 5


def _traffic(start_ms: int) -> list[Sent]:
    """Two minutes of three applications; one attack on `chat`, slow calls on `search`, five broken records of the tenant."""
    records = []
    for number in range(CALM_CALLS):
        at_ms = start_ms + number * 200
        records.append(record(response(at_ms, TENANT, ("chat", "search", "mail")[number % 3]), at_ms))
    attack_ms = start_ms + 40_000
    records.append(record(request(attack_ms, TENANT, "chat", ATTACK), attack_ms))
    for number in range(SLOW_CALLS):
        at_ms = start_ms + 50_000 + number
        records.append(record(response(at_ms, TENANT, "search", latency_ms=SLOW_MS + 1000.0 * (number + 1)), at_ms))
    for number in range(BROKEN):
        at_ms = start_ms + 60_000 + number
        records.append(record(response(at_ms, TENANT, "mail") | {"event_type": "llm.unheard-of"}, at_ms))
    return sorted(records, key=lambda sent: sent.timestamp_ms)


@pytest.fixture(scope="module")
def sent(stack: Stack, segments: Segments, receivers: Receivers, shield: RunningShield) -> int:
    """The traffic, sent and closed; its start."""
    # What earlier tests applied to the same stack is none of this one's business.
    stack.apply(configuration(receivers, shield=shield.endpoint))
    time.sleep(2.0)
    start_ms = segments.take(5)
    stack.send_closed(_traffic(start_ms), start_ms, start_ms + 2 * MINUTE_MS)
    return start_ms


def test_attack_and_slow_calls_become_anomalies_in_postgres_and_on_the_topic(stack: Stack, sent: int) -> None:
    sql = "SELECT detector_id, application_id, severity, count, observed_value, anomaly_id FROM sentinel.anomalies WHERE tenant_id = %s"
    found = wait_for(
        lambda: sorted(stack.rows(sql, TENANT)),
        120,
        "both anomalies in Postgres",
        until=lambda rows: [r[3] for r in rows] == [1, SLOW_CALLS],
    )
    assert [row[:4] for row in found] == [
        ("prompt-injection", "chat", "critical", 1),
        ("slow-call", "search", "warning", SLOW_CALLS),
    ]
    assert found[1][4] == SLOW_MS + 1000.0 * SLOW_CALLS, "the worst call is the observed value"

    of_topic: dict[str, dict[str, Any]] = {}
    for stored in stack.topic("llm-anomalies"):
        anomaly = stored.json()
        if anomaly["tenant_id"] == TENANT:
            assert stored.key == f"{TENANT}|{anomaly['application_id']}".encode()
            if anomaly["count"] >= of_topic.get(anomaly["anomaly_id"], {"count": 0})["count"]:
                of_topic[anomaly["anomaly_id"]] = anomaly
    assert {name: (a["detector_id"], a["count"]) for name, a in of_topic.items()} == {row[5]: (row[0], row[3]) for row in found}


def test_alerts_and_notifications_follow(stack: Stack, sent: int) -> None:
    sql = "SELECT alert_id, definition_id, status, severity, count, receivers FROM sentinel.alerts WHERE tenant_id = %s ORDER BY severity"
    alerts = wait_for(
        lambda: stack.rows(sql, TENANT), 120, "both alerts in Postgres", until=lambda rows: [r[4] for r in rows] == [1, SLOW_CALLS]
    )
    assert [row[1:4] for row in alerts] == [("critical-anomalies", "firing", "critical"), ("warning-anomalies", "firing", "warning")]
    assert [row[5] for row in alerts] == [["hook", "mail"], ["hook"]]
    on_topic = {found["alert_id"] for stored in stack.topic("llm-alerts") if (found := stored.json())["tenant_id"] == TENANT}
    assert on_topic == {row[0] for row in alerts}

    sql = "SELECT receiver, severity, status, sequence, alert_id FROM sentinel.notifications WHERE tenant_id = %s ORDER BY 1, 2"
    told = wait_for(lambda: stack.rows(sql, TENANT), 120, "three notifications in Postgres", until=lambda rows: len(rows) == 3)
    assert [row[:4] for row in told] == [
        ("hook", "critical", "firing", 1),
        ("hook", "warning", "firing", 1),
        ("mail", "critical", "firing", 1),
    ]
    for receiver in ("hook", "mail"):
        records = [found for stored in stack.topic(f"notify-{receiver}") if (found := stored.json())["tenant_id"] == TENANT]
        assert sorted({found["alert_id"] for found in records}) == sorted(row[4] for row in told if row[0] == receiver)


def test_receivers_are_told_once_each(stack: Stack, sent: int, receivers: Receivers) -> None:
    def calls() -> list[str]:
        own = [call for call in receivers.calls if call["commonLabels"].get("tenant_id") == TENANT]
        return sorted(call["commonLabels"]["severity"] for call in own)

    def mails() -> list[str]:
        return [str(mail["To"]) for mail in receivers.mails if TENANT in mail.as_string()]

    wait_for(calls, 120, "two calls of the webhook", until=lambda found: len(found) >= 2)
    wait_for(mails, 120, "one mail", until=lambda found: len(found) >= 1)
    sql = """SELECT n.receiver, l.state FROM sentinel.notifications n JOIN sentinel.notification_ledger l USING (notification_id)
             WHERE n.tenant_id = %s ORDER BY 1"""
    delivered = [("hook", "delivered"), ("hook", "delivered"), ("mail", "delivered")]
    wait_for(lambda: stack.rows(sql, TENANT), 60, "the ledger to say delivered", until=lambda rows: rows == delivered)
    assert calls() == ["critical", "warning"]
    assert mails() == ["oncall@localhost"]
    own = [call for call in receivers.calls if call["commonLabels"].get("tenant_id") == TENANT]
    body = next(call for call in own if call["commonLabels"]["severity"] == "critical")
    assert body["version"] == "4" and body["alerts"][0]["labels"]["application_id"] == "chat"


def test_the_attacker_is_blocked_at_shield_once(stack: Stack, sent: int, shield: RunningShield) -> None:
    def blocked() -> list[tuple[str, str]]:
        return [(action.type, action.target_entity) for action in shield.shield.in_force() if action.target_entity.startswith(f"{TENANT}/")]

    found = wait_for(blocked, 120, "one action at Shield", until=lambda actions: len(actions) == 1)
    assert [kind for kind, _ in found] == ["BLOCK"]
    orders = [order for stored in stack.topic("sentinel-shield-actions") if (order := stored.json())["tenant_id"] == TENANT]
    assert [(order["detector_id"], order["update"]) for order in orders] == [("prompt-injection", False)]
    sql = "SELECT kind, target_entity, state FROM analytics.shield_actions WHERE tenant_id = %s"
    wait_for(lambda: stack.rows(sql, TENANT), 30, "the book of actions", until=lambda rows: rows == [("block", found[0][1], "enforced")])


def test_counters_sum_to_what_was_sent(stack: Stack, sent: int) -> None:
    wanted = {"valid": CALM_CALLS + 1 + SLOW_CALLS, "dlq": BROKEN}
    wait_for(lambda: stack.counters(TENANT), 120, "counters of all records", until=lambda found: found == wanted)
    sql = "SELECT kind, events FROM analytics.ingest_totals WHERE tenant_id = %s"
    assert dict(stack.rows(sql, TENANT)) == wanted


def test_late_events_are_counted_and_correct_the_rollups(stack: Stack, segments: Segments) -> None:
    tenant, start_ms, on_time, late = f"late-{uuid4().hex[:8]}", segments.take(5), 40, 15
    first = [record(response(start_ms + n * 1000, tenant, "chat", latency_ms=100.0), start_ms + n * 1000) for n in range(on_time)]
    stack.send_closed(first, start_ms, start_ms + 2 * MINUTE_MS)
    # Only when the minute is stored has the watermark certainly passed it.
    wait_for(lambda: stack.counters(tenant), 120, "the minute to be closed", until=lambda found: found == {"valid": on_time})
    # The partition has gone on; these lie two minutes and more behind its watermark.
    behind = [record(response(start_ms + n * 1000, tenant, "chat", latency_ms=400.0), start_ms + n * 1000) for n in range(late)]
    stack.produce(behind)
    wait_for(
        lambda: stack.counters(tenant), 120, "late events to be counted", until=lambda found: found == {"valid": on_time, "late": late}
    )

    sql = """SELECT events, calls, late_events, latency_avg_ms, latency_max_ms, tokens FROM analytics.metrics_1m
             WHERE tenant_id = %s AND application_id = 'chat' AND minute = to_timestamp(%s)"""
    wanted = (on_time + late, on_time + late, late, (on_time * 100.0 + late * 400.0) / (on_time + late), 400.0, 150 * (on_time + late))
    found = wait_for(lambda: stack.rows(sql, tenant, start_ms / 1000), 60, "the corrected minute", until=lambda rows: rows == [wanted])
    assert len(found) == 1


def test_an_event_of_the_second_that_closes_at_this_watermark_is_not_lost(stack: Stack, segments: Segments) -> None:
    tenant, start_ms = f"edge-{uuid4().hex[:8]}", segments.take(1)
    stack.produce(ticks(start_ms))
    time.sleep(1.0)
    # Event time is then at the last millisecond of the second that begins at `start_ms`, until pulses move it on.
    stack.produce(ticks(start_ms + 999 + JobSettings().lateness_ms))
    time.sleep(1.0)
    stack.produce([record(response(start_ms + 500, tenant, "chat"), start_ms + 500)])
    time.sleep(1.0)
    stack.produce(ticks(start_ms + 2 * MINUTE_MS))
    # In time it is on a machine that is slow enough; in neither case it is in no counter.
    wait_for(lambda: stack.counters(tenant), 60, "the event to be counted", until=lambda found: found in ({"late": 1}, {"valid": 1}))


def test_rollup_records_say_the_same_as_the_table(stack: Stack, sent: int) -> None:
    wanted = Counter({"calls": CALM_CALLS + SLOW_CALLS})

    def calls() -> Counter[str]:
        newest: dict[tuple[str, str], float] = {}
        for stored in stack.topic("llm-rollups"):
            found = json.loads(stored.value)
            if found["dimensions"]["tenant_id"] == TENANT and found["metric_name"] == "calls":
                newest[found["timestamp"], json.dumps(found["dimensions"], sort_keys=True)] = found["value"]
        return Counter({"calls": round(sum(newest.values()))})

    wait_for(calls, 120, "rollup records of every call", until=lambda found: found == wanted)
