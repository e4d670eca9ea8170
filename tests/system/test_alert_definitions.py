"""Alert definitions as people write them, each on the running job: what raises an alert, what its message says, and why the next one is not sent.

Every function of an aggregation over a window, grouped; patterns in text, counted; a throttle and a cap; a schedule in a zone; templates.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest

from tests.support.configuration import configuration
from tests.support.receivers import Receivers
from tests.support.shield import RunningShield
from tests.support.stack import Stack
from tests.support.streams import Sent
from tests.support.telemetry import MINUTE_MS, Segments, record, request, response
from tests.support.waiting import wait_for

pytestmark = pytest.mark.stack

TENANT = f"def-{uuid4().hex[:8]}"
ZONE = "Pacific/Auckland"
WINDOW = "5s"
Definition = dict[str, Any]

# By function: metric, condition, threshold; what the calls of applications over and under it say (all of them within one second).
LIMITS = {
    "count": (None, "greater_than_or_equal", 8),
    "avg": ("latency_ms", "greater_than", 5_000),
    "sum": ("total_tokens", "greater_than_or_equal", 10_000),
    "max": ("latency_ms", "greater_than_or_equal", 20_000),
    "min": ("latency_ms", "less_than", 10),
}
CALLS: dict[str, list[dict[str, Any]]] = {
    "count-a": [{}] * 9,
    "count-b": [{}] * 8,
    "count-under": [{}] * 7,
    "avg-a": [{"latency_ms": value} for value in (3_000.0, 9_000.0)],
    "avg-b": [{"latency_ms": value} for value in (1_000.0, 11_000.0)],
    "avg-under": [{"latency_ms": value} for value in (1_000.0, 1_000.0, 9_000.0)],
    "sum-a": [{"total_tokens": 5_000}] * 2,
    "sum-under": [{"total_tokens": 9_999}],
    "max-a": [{"latency_ms": value} for value in (100.0, 25_000.0)],
    "max-under": [{"latency_ms": 19_999.0}] * 3,
    "min-a": [{"latency_ms": value} for value in (800.0, 4.0)],
    "min-under": [{"latency_ms": 11.0}] * 3,
    "refuse-a": [{"response": "I cannot help with THAT."}] * 3,
    "refuse-under": [{"response": "I cannot help with that."}] * 2 + [{"response": "Gladly."}] * 3,
}


def _definition(name: str, conditions: dict[str, Any], applications: str, **more: Any) -> Definition:
    filters = {"filters": {"application_ids": [applications]}}
    return {
        "alert_id": name,
        "name": name,
        "severity": "warning",
        "conditions": conditions | filters,
        "actions": [{"type": "notification"}],
    } | more


def _aggregation(function: str, **more: Any) -> Definition:
    metric, condition, threshold = LIMITS[function]
    conditions: dict[str, Any] = {"trigger": "metric_threshold", "condition": condition} | ({"metric": metric} if metric else {})
    return _definition(
        f"agg-{function}",
        conditions | {"aggregation": {"function": function, "window": WINDOW, "threshold": threshold}},
        f"{function}-*",
        **more,
    )


def _schedules() -> tuple[dict[str, Any], dict[str, Any]]:
    """Over now, and not open before tomorrow; open for hours around now. Both in the wall time of a zone that is half a day away."""
    now = datetime.now(ZoneInfo(ZONE))
    days = [(now + timedelta(days=ahead)).strftime("%a").lower() for ahead in (2, 3)]
    start, end = ((now + timedelta(hours=hours)).strftime("%H:%M") for hours in (-6, 6))
    return {"timezone": ZONE, "days_of_week": days}, {"timezone": ZONE, "active_hours": {"start": start, "end": end}}


CLOSED, OPENED = _schedules()


def _definitions() -> list[Definition]:
    one_alert = {"grouping": ["detector_id"]}
    tides = {"trigger": "event_pattern", "pattern": "(?i)tell me about tides"}
    message = {
        "title": "{{ .anomaly.application_id }}: {{ status }}",
        "text": "{% for a in alerts %}{{ a.labels.service }}{% endfor %}",
        "priority": "high",
    }
    return [
        _aggregation("count"),
        _aggregation("avg", throttling=one_alert),
        _aggregation("sum"),
        _aggregation(
            "max",
            labels={"service": "svc-{{ .anomaly.application_id }}"},
            annotations={"runbook": "https://wiki.example.com/{{ .anomaly.metric }}/{{ anomaly.metrics.observed_value | round | int }}"},
            actions=[{"type": "notification", "config": message}],
        ),
        _aggregation("min"),
        _definition(
            "refusals",
            {
                "trigger": "event_pattern",
                "field": "response",
                "pattern": "(?i)cannot help with that",
                "aggregation": {"window": WINDOW, "threshold": 3},
            },
            "refuse-*",
        ),
        _definition("seldom", tides, "seldom-*", throttling={"max_frequency": "1h", **one_alert}),
        _definition("capped", tides, "capped-*", throttling={"max_notifications": 1, "window": "2h", **one_alert}),
        _definition("closed", tides, "closed-*", schedule=CLOSED),
        _definition("opened", tides, "opened-*", schedule=OPENED),
    ]


def _asked(application: str, at_ms: int) -> Sent:
    return record(request(at_ms, TENANT, application, "Tell me about tides, please."), at_ms)


@pytest.fixture(scope="module", autouse=True)
def started_ms(stack: Stack, segments: Segments, receivers: Receivers, shield: RunningShield) -> Iterator[int]:
    """The definitions are in force for this module, and the traffic is sent; its start."""
    config = configuration(receivers, shield=shield.endpoint)
    config["alerting"]["grouping"]["groupInterval"] = "3s"
    config["alerting"]["definitions"] = _definitions()
    stack.apply(config)
    time.sleep(2.0)
    start_ms = segments.take(5)
    sent = [
        record(response(start_ms + number, TENANT, application, **call), start_ms + number)
        for application, calls in CALLS.items()
        for number, call in enumerate(calls)
    ]
    sent += [_asked(f"{name}-1", start_ms) for name in ("seldom", "capped", "closed", "opened")]
    stack.send_closed(sent, start_ms, start_ms + MINUTE_MS)
    yield start_ms
    stack.apply(configuration(receivers, shield=shield.endpoint))
    time.sleep(2.0)


def _alerts(stack: Stack) -> dict[tuple[str, str], str]:
    """Alert ids by definition and what they are grouped by (an application, or nothing)."""
    sql = "SELECT definition_id, labels ->> 'application_id', alert_id FROM sentinel.alerts WHERE tenant_id = %s"
    return {(row[0], row[1] or ""): row[2] for row in stack.rows(sql, TENANT)}


def _decisions(stack: Stack, alert_id: str) -> list[tuple[str, str]]:
    """Outcome and reason as Postgres has them, without what the dispatcher did."""
    sql = "SELECT outcome, detail FROM sentinel.alert_decisions WHERE alert_id = %s AND outcome <> 'delivered' ORDER BY decided_at, decision_id"
    return [(row[0], row[1]) for row in stack.rows(sql, alert_id)]


def _settled(stack: Stack, alert_id: str, wanted: list[tuple[str, str]]) -> None:
    wait_for(lambda: _decisions(stack, alert_id), 60, f"the decisions {wanted}", until=lambda found: found == wanted)


def _records(stack: Stack) -> list[dict[str, Any]]:
    return [note for stored in stack.topic("notify-hook") if (note := stored.json())["tenant_id"] == TENANT]


def _explained(stack: Stack, alert_id: str) -> str:
    return stack.sentinel("alerts", "explain", alert_id).stdout.decode()


ALERTS = {
    *(("agg-count", application) for application in ("count-a", "count-b")),
    ("agg-sum", "sum-a"),
    ("agg-max", "max-a"),
    ("agg-min", "min-a"),
    ("refusals", "refuse-a"),
    *((name, f"{name}-1") for name in ("closed", "opened", "seldom", "capped")),
}


def test_what_is_over_its_limit_raises_an_alert_and_what_is_just_under_it_does_not(stack: Stack) -> None:
    def raised() -> set[tuple[str, str]]:
        return {key for key in _alerts(stack) if key[0] != "agg-avg"}

    wait_for(raised, 120, "the alerts", until=lambda found: found >= ALERTS)
    assert raised() == ALERTS
    sql = "SELECT detector_id, application_id FROM sentinel.anomalies WHERE tenant_id = %s"
    over = {application for application in CALLS if not application.endswith("-under")}
    found = wait_for(lambda: stack.rows(sql, TENANT), 60, "the anomalies", until=lambda rows: over <= {row[1] for row in rows})
    assert {row for row in found if row[1].endswith("-under")} == set()
    for application in over:
        function = application.partition("-")[0]
        assert [row[0] for row in found if row[1] == application] == [f"alert:{'refusals' if function == 'refuse' else f'agg-{function}'}"]


def test_applications_that_are_grouped_are_one_alert(stack: Stack) -> None:
    def told() -> set[str]:
        return {
            alert["labels"]["application_id"] for note in _records(stack) if note["definition_id"] == "agg-avg" for alert in note["alerts"]
        }

    wait_for(told, 60, "both applications in messages of the alert", until=lambda found: found == {"avg-a", "avg-b"})
    assert len([key for key in _alerts(stack) if key[0] == "agg-avg"]) == 1


def test_labels_annotations_message_and_priority_are_those_of_the_definition(stack: Stack, receivers: Receivers) -> None:
    (note,) = wait_for(lambda: [note for note in _records(stack) if note["definition_id"] == "agg-max"], 60, "the message")
    assert (note["title"], note["text"], note["priority"]) == ("max-a: firing", "svc-max-a", "high")
    (alert,) = note["alerts"]
    assert alert["labels"]["service"] == "svc-max-a"
    assert alert["annotations"]["runbook"] == "https://wiki.example.com/latency_ms/25000"
    calls = wait_for(lambda: [c for c in receivers.calls if c["commonLabels"].get("service") == "svc-max-a"], 60, "the webhook's call")
    assert calls[0]["commonAnnotations"]["runbook"] == alert["annotations"]["runbook"]
    stored = "SELECT labels ->> 'service', annotations ->> 'runbook' FROM sentinel.alerts WHERE alert_id = %s"
    assert stack.rows(stored, note["alert_id"]) == [("svc-max-a", alert["annotations"]["runbook"])]
    assert "service=svc-max-a" in _explained(stack, note["alert_id"])


def test_outside_its_hours_a_definition_tells_nobody_and_that_is_on_record(stack: Stack) -> None:
    alerts = wait_for(
        lambda: _alerts(stack), 60, "the alerts", until=lambda found: {("closed", "closed-1"), ("opened", "opened-1")} <= set(found)
    )
    _settled(stack, alerts["opened", "opened-1"], [("sent", "first")])
    _settled(stack, alerts["closed", "closed-1"], [("suppressed", "outside the definition's schedule")])
    text = _explained(stack, alerts["closed", "closed-1"])
    assert "hook                  suppressed: outside the definition's schedule (1 firing), until " in text and "sent" not in text
    sql = "SELECT waits_until FROM sentinel.alert_decisions WHERE alert_id = %s AND outcome = 'suppressed'"
    opens = stack.value(sql, alerts["closed", "closed-1"]).astimezone(ZoneInfo(ZONE))
    assert (opens.strftime("%a").lower(), opens.strftime("%H:%M")) == (CLOSED["days_of_week"][0], "00:00")
    assert "hook                  sent: first (1 firing)" in _explained(stack, alerts["opened", "opened-1"])
    assert stack.rows("SELECT * FROM sentinel.notifications WHERE alert_id = %s", alerts["closed", "closed-1"]) == []


def test_what_comes_too_soon_is_held_back_until_a_time_that_is_on_record_and_the_end_is_told(stack: Stack, started_ms: int) -> None:
    alerts = wait_for(
        lambda: _alerts(stack), 60, "the alerts", until=lambda found: {("seldom", "seldom-1"), ("capped", "capped-1")} <= set(found)
    )
    ids = {name: alerts[name, f"{name}-1"] for name in ("seldom", "capped")}
    for alert_id in ids.values():
        _settled(stack, alert_id, [("sent", "first")])
    # More of the same: another application joins each alert.
    at_ms = started_ms + 2 * MINUTE_MS
    stack.produce([_asked(f"{name}-2", at_ms) for name in ids])
    reasons = {"seldom": ("max_frequency", 1), "capped": ("at most 1 messages in 7200 s", 2)}
    for name, (reason, hours) in reasons.items():
        _settled(stack, ids[name], [("sent", "first"), ("grouped", "waits for others of its group"), ("throttled", reason)])
        sql = (
            "SELECT outcome, decided_at, waits_until FROM sentinel.alert_decisions WHERE alert_id = %s AND outcome IN ('sent', 'throttled')"
        )
        times = {row[0]: row[1:] for row in stack.rows(sql, ids[name])}
        assert times["throttled"][1] - times["sent"][0] == timedelta(hours=hours)
        assert f"throttled: {reason} (2 firing), until " in _explained(stack, ids[name])
        assert stack.value("SELECT count(*) FROM sentinel.notifications WHERE alert_id = %s", ids[name]) == 1
        stack.sentinel("alerts", "resolve", ids[name])
    for name in ids:
        wait_for(lambda name=name: _decisions(stack, ids[name])[-1:], 60, "the end", until=lambda last: last == [("sent", "resolved")])  # type: ignore[misc]
    kept = [note["status"] for note in _records(stack) if note["alert_id"] in ids.values()]
    assert sorted(kept) == ["firing", "firing", "resolved", "resolved"]
