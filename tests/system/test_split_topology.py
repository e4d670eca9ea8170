"""The split topology: ingestion, detection, alerting and rollup beside each other say of the same traffic what standalone says."""

from __future__ import annotations

import time
from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.support.configuration import ATTACK, SLOW_MS, configuration
from tests.support.receivers import Receivers
from tests.support.shield import RunningShield
from tests.support.stack import Stack
from tests.support.telemetry import MINUTE_MS, record, request, response
from tests.support.waiting import wait_for

pytestmark = pytest.mark.stack

TENANT = f"split-{uuid4().hex[:8]}"
JOBS = ("ingestion", "detection", "alerting", "rollup")
CALM_CALLS = 100
COPIES = 3


@pytest.fixture(scope="module")
def told(stack: Stack, receivers: Receivers, shield: RunningShield) -> Iterator[None]:
    """Standalone has made room for the four jobs, and traffic with one attack, one slow call, one broken record and some copies was sent."""
    stack.apply(configuration(receivers, shield=shield.endpoint) | {"tenants": {TENANT: {"deduplicateEvents": True}}})
    for name in ("standalone", "ingestion"):
        stack.sentinel("jobs", "cancel", name, timeout_s=120, ok=False)
    for name in JOBS:
        stack.sentinel("jobs", "submit", name, timeout_s=300)
    start_ms = (round(time.time() * 1000) - 3 * MINUTE_MS) // MINUTE_MS * MINUTE_MS
    calls = [record(response(start_ms + 100 * number, TENANT, "chat"), start_ms + 100 * number) for number in range(CALM_CALLS)]
    late_ms = start_ms + 100 * CALM_CALLS
    attack = record(request(late_ms, TENANT, "chat", ATTACK), late_ms)
    slow = record(response(late_ms + 1, TENANT, "search", latency_ms=2.0 * SLOW_MS), late_ms + 1)
    broken = record(response(late_ms + 2, TENANT, "mail") | {"event_type": "llm.unheard-of"}, late_ms + 2)
    stack.send_closed([*calls, *calls[:COPIES], attack, slow, broken], start_ms, start_ms + MINUTE_MS)
    yield
    for name in JOBS:
        stack.sentinel("jobs", "cancel", name, timeout_s=120, ok=False)


def test_each_trouble_is_an_anomaly_and_an_alert(stack: Stack, told: None) -> None:
    sql = "SELECT detector_id, application_id, severity FROM sentinel.anomalies WHERE tenant_id = %s ORDER BY 1"
    wanted = [("prompt-injection", "chat", "critical"), ("slow-call", "search", "warning")]
    wait_for(lambda: stack.rows(sql, TENANT), 120, "both anomalies", until=lambda rows: rows == wanted)
    sql = "SELECT definition_id, status FROM sentinel.alerts WHERE tenant_id = %s ORDER BY 1"
    firing = [("critical-anomalies", "firing"), ("warning-anomalies", "firing")]
    wait_for(lambda: stack.rows(sql, TENANT), 120, "both alerts", until=lambda rows: rows == firing)


def test_receivers_and_shield_are_told_once(stack: Stack, told: None, receivers: Receivers, shield: RunningShield) -> None:
    def severities() -> list[str]:
        own = [call for call in receivers.calls if call["commonLabels"].get("tenant_id") == TENANT]
        return sorted(call["commonLabels"]["severity"] for call in own)

    wait_for(severities, 120, "two calls of the webhook", until=lambda found: len(found) >= 2)
    assert severities() == ["critical", "warning"]

    def blocked() -> list[str]:
        return [action.type for action in shield.shield.in_force() if action.target_entity.startswith(f"{TENANT}/")]

    wait_for(blocked, 60, "one action at Shield", until=lambda kinds: kinds == ["BLOCK"])


def test_counters_sum_to_what_was_sent(stack: Stack, told: None) -> None:
    """Valid or late: event time may already be at what tests before this one sent to `llm-events`."""

    def counted() -> dict[str, int]:
        found = stack.counters(TENANT)
        return {"in time or late": found.pop("valid", 0) + found.pop("late", 0), **found}

    wanted = {"in time or late": CALM_CALLS + 2, "dlq": 1, "duplicate": COPIES}
    wait_for(counted, 120, "counters of all records", until=lambda found: found == wanted)


def test_no_job_restarted(stack: Stack, told: None) -> None:
    stack.require_undisturbed(*JOBS)
