"""People act on alerts of the running job: every request is answered, recorded and in force, and the story of an alert tells all of it."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest

from tests.support.configuration import SLOW_MS
from tests.support.stack import Stack
from tests.support.telemetry import Segments, record, response
from tests.support.waiting import wait_for

pytestmark = pytest.mark.stack

TENANT = f"ctl-{uuid4().hex[:8]}"


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
    """What was done about the only anomaly of the application, once it has the status in Postgres."""
    sql = "SELECT status, record FROM sentinel.anomalies WHERE tenant_id = %s AND application_id = %s"

    def ready(rows: list[Any]) -> bool:
        return [row[0] for row in rows] == [status] and len(rows[0][1].get("actions_taken", ())) >= noted

    rows = wait_for(lambda: stack.rows(sql, TENANT, application), 60, f"an anomaly of {application} that is {status}", until=ready)
    assert rows[0][1]["status"] == status
    actions: list[dict[str, Any]] = rows[0][1].get("actions_taken", [])
    return actions


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


def test_requests_that_cannot_be_done_are_refused(stack: Stack) -> None:
    for arguments, expected in (
        (("ack", "ffffffff"), "there is no alert ffffffff"),
        (("silence", "a=~.*", "--tenant", TENANT), "does not match the empty value"),
        (("expire", "nothing", "--tenant", TENANT), "there is no silence nothing"),
    ):
        done = stack.sentinel("alerts", *arguments, ok=False)
        assert (done.returncode, expected in done.stderr.decode()) == (1, True), done.stderr.decode()
