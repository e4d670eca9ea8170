"""People act on alerts of the running job: every request is answered, recorded and in force, and the story of an alert tells all of it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from opensearchpy import OpenSearch

from tests.support.configuration import SLOW_MS, configuration
from tests.support.receivers import Receivers
from tests.support.shield import RunningShield
from tests.support.stack import Stack
from tests.support.telemetry import Segments, record, response
from tests.support.waiting import wait_for

pytestmark = pytest.mark.stack

TENANT = f"ctl-{uuid4().hex[:8]}"


@pytest.fixture(scope="module", autouse=True)
def indexing(stack: Stack) -> Iterator[None]:
    stack.sentinel("jobs", "submit", "indexing", timeout_s=600)
    yield
    stack.sentinel("jobs", "cancel", "indexing")


def _slow_call(stack: Stack, segments: Segments, application: str) -> None:
    at_ms = segments.take(1)
    stack.produce([record(response(at_ms, TENANT, application, latency_ms=SLOW_MS + 1.0), at_ms)])


def _alert(stack: Stack, application: str, status: str) -> str:
    sql = "SELECT alert_id, status FROM sentinel.alerts WHERE tenant_id = %s AND labels ->> 'application_id' = %s"
    rows = wait_for(
        lambda: stack.rows(sql, TENANT, application),
        120,
        f"a {status} alert of {application}",
        until=lambda rows: [r[1] for r in rows] == [status],
    )
    return str(rows[0][0])


def _anomaly(stack: Stack, application: str, status: str, noted: int = 0) -> list[dict[str, Any]]:
    """What was done about the only anomaly of the application, once it has the status in Postgres; OpenSearch says the same."""
    sql = "SELECT status, record FROM sentinel.anomalies WHERE tenant_id = %s AND application_id = %s"

    def ready(rows: list[Any]) -> bool:
        return [row[0] for row in rows] == [status] and len(rows[0][1].get("actions_taken", ())) >= noted

    rows = wait_for(lambda: stack.rows(sql, TENANT, application), 60, f"an anomaly of {application} that is {status}", until=ready)
    assert rows[0][1]["status"] == status
    actions: list[dict[str, Any]] = rows[0][1].get("actions_taken", [])
    wait_for(lambda: _indexed(stack, application), 60, f"{status} in OpenSearch", until=lambda found: found == [(status, actions)])
    return actions


def _indexed(stack: Stack, application: str) -> list[tuple[str, list[dict[str, Any]]]]:
    """(status, actions taken) of the anomalies of the application in the search index."""
    query = {"bool": {"filter": [{"term": {"tenant_id": TENANT}}, {"term": {"application_id": application}}]}}
    with OpenSearch(stack.endpoints.opensearch_url, timeout=10, max_retries=0) as client:
        found = client.search(index="sentinel-anomalies*", body={"query": query})
    return [(hit["_source"]["status"], hit["_source"].get("actions_taken", [])) for hit in found["hits"]["hits"]]


def _story(stack: Stack, alert_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(stack.sentinel("alerts", "explain", alert_id, "-o", "json").stdout)["decisions"]
    return found


def _outcomes(stack: Stack, alert_id: str) -> list[tuple[str, str]]:
    """What was decided; deliveries have their own test."""
    return [(entry["outcome"], entry["receiver"]) for entry in _story(stack, alert_id) if entry["outcome"] != "delivered"]


def test_an_alert_is_acknowledged_explained_and_resolved(stack: Stack, segments: Segments) -> None:
    _slow_call(stack, segments, "search")
    alert_id = _alert(stack, "search", "firing")
    wait_for(
        lambda: [(e["outcome"], e["receiver"], e["delivery"]) for e in _story(stack, alert_id)],
        60,
        "the message in the story",
        until=lambda found: found == [("sent", "hook", "delivered"), ("delivered", "hook", None)],
    )
    said = stack.sentinel("alerts", "ack", alert_id[:13], "--comment", "looking into it").stdout.decode()
    assert said.startswith("ack by ")
    _alert(stack, "search", "acknowledged")
    actions = _anomaly(stack, "search", "acknowledged")
    assert [action["reason"].partition(" by ")[0] for action in actions] == ["acknowledged"] and "looking into it" in actions[0]["reason"]
    assert alert_id[:8] in stack.sentinel("alerts", "list", "--status", "acknowledged", "--tenant", TENANT).stdout.decode()
    stack.sentinel("alerts", "unack", alert_id)
    _alert(stack, "search", "firing")
    _anomaly(stack, "search", "active")
    refused = stack.sentinel("alerts", "escalate", alert_id, ok=False)
    assert (refused.returncode, "no escalation step is left, or there is no policy" in refused.stderr.decode()) == (1, True)
    stack.sentinel("alerts", "resolve", alert_id)
    _alert(stack, "search", "resolved")
    _anomaly(stack, "search", "resolved")
    wanted = [("sent", "hook"), ("control", ""), ("control", ""), ("control", ""), ("sent", "hook")]
    wait_for(lambda: _outcomes(stack, alert_id), 90, "the end in the story", until=lambda found: found == wanted)
    text = stack.sentinel("alerts", "explain", alert_id).stdout.decode()
    assert "looking into it" in text and "sent: first" in text and "sent: resolved" in text


def test_a_silence_holds_back_what_matches_and_says_so(stack: Stack, segments: Segments) -> None:
    arguments = ["alerts", "silence", 'application_id=~"quiet.*"', "--tenant", TENANT, "--for", "1h", "--comment", "planned"]
    said = stack.sentinel(*arguments).stdout.decode()
    silence_id = said.split()[1]
    assert silence_id in stack.sentinel("alerts", "silences", "--tenant", TENANT, "-o", "json").stdout.decode()
    _slow_call(stack, segments, "quiet-one")
    alert_id = _alert(stack, "quiet-one", "firing")
    wait_for(lambda: _outcomes(stack, alert_id), 60, "the silence in the story", until=lambda found: found == [("suppressed", "hook")])
    assert _story(stack, alert_id)[0]["detail"] == f"silence {silence_id}"
    actions = _anomaly(stack, "quiet-one", "suppressed", noted=1)
    assert (actions[0]["target"], actions[0]["reason"].endswith(": planned")) == (silence_id, True)
    assert stack.rows("SELECT * FROM sentinel.notifications WHERE alert_id = %s", alert_id) == []
    stack.sentinel("alerts", "expire", silence_id, "--tenant", TENANT)
    _anomaly(stack, "quiet-one", "active")
    wait_for(lambda: _outcomes(stack, alert_id)[-1:], 90, "the message after the silence", until=lambda found: found == [("sent", "hook")])


def test_a_snooze_suppresses_the_anomaly_until_the_alert_is_declared_over(stack: Stack, segments: Segments) -> None:
    _slow_call(stack, segments, "later")
    alert_id = _alert(stack, "later", "firing")
    stack.sentinel("alerts", "snooze", alert_id, "--for", "1h", "--comment", "after lunch")
    actions = _anomaly(stack, "later", "suppressed", noted=1)
    assert actions[0]["reason"].startswith("snoozed until ") and actions[0]["reason"].endswith(": after lunch")
    stack.sentinel("alerts", "resolve", alert_id)
    assert len(_anomaly(stack, "later", "resolved", noted=2)) == 2


def test_a_maintenance_window_suppresses_anomalies_while_it_is_open(
    stack: Stack, segments: Segments, receivers: Receivers, shield: RunningShield
) -> None:
    base = configuration(receivers, shield=shield.endpoint)
    maintained = copy.deepcopy(base)
    window = {"name": "upgrade", "schedule": "* * * * *", "duration": "10m", "matchers": ['application_id="upgraded"']}
    maintained["alerting"]["suppression"] = {"maintenanceWindows": [window]}
    stack.apply(maintained)
    at_ms = segments.take(5)
    calls = [record(response(at_ms + n, TENANT, "upgraded", latency_ms=SLOW_MS + 1.0), at_ms + n) for n in range(2)]
    try:
        stack.produce(calls[:1])
        (action,) = _anomaly(stack, "upgraded", "suppressed", noted=1)
        assert (action["target"], action["reason"]) == ("maintenance window upgrade", "suppressed: maintenance window upgrade")
    finally:
        stack.apply(base)
    stack.produce(calls[1:])
    actions = _anomaly(stack, "upgraded", "active", noted=2)
    assert actions[1]["reason"] == "no longer suppressed: maintenance window upgrade is over"


def test_requests_that_cannot_be_done_are_refused(stack: Stack) -> None:
    for arguments, expected in (
        (("ack", "ffffffff"), "there is no alert ffffffff"),
        (("silence", "a=~.*", "--tenant", TENANT), "does not match the empty value"),
        (("expire", "nothing", "--tenant", TENANT), "there is no silence nothing"),
    ):
        done = stack.sentinel("alerts", *arguments, ok=False)
        assert (done.returncode, expected in done.stderr.decode()) == (1, True), done.stderr.decode()
