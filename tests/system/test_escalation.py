"""Trouble that nobody takes up goes from Slack to PagerDuty to mail; an acknowledgement there stops it; everybody who was told hears of the end.

On the running job and dispatcher, with a real mail server, stand-ins that check what PagerDuty and Slack publish, and a real broker between
PagerDuty's webhook and the alert. Triggers event_pattern, metric_threshold and anomaly; inhibition; the order at Shield.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.support.configuration import ATTACK, configuration
from tests.support.on_call import ROUTING_KEY, SECRET, WEBHOOK_SECRET, OnCall, acknowledged, running_on_call
from tests.support.receivers import Receivers
from tests.support.shield import RunningShield
from tests.support.stack import Stack
from tests.support.telemetry import MINUTE_MS, Segments, record, request, response
from tests.support.waiting import wait_for

pytestmark = pytest.mark.stack

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "alerting.md"
TENANT = f"esc-{uuid4().hex[:8]}"
ATTACKERS = 12
LAST_STEP_S = 15
Decision = tuple[str, str, str]


def _configuration(receivers: Receivers, on_call: OnCall, shield: RunningShield, folder: Path) -> dict[str, Any]:
    config = configuration(receivers, shield=shield.endpoint)
    secrets = {"signing": SECRET, "routing": ROUTING_KEY, "webhook": WEBHOOK_SECRET, "slack": on_call.slack_url}
    for name, value in secrets.items():
        (folder / name).write_text(value)
    pager = {"url": on_call.pagerduty_url, "routingKeyFile": str(folder / "routing"), "webhookSecretFile": str(folder / "webhook")}
    signed = {"type": "webhook", "config": {"url": on_call.signed_url, "signing_secret_file": str(folder / "signing")}}
    steps = [
        {"after": "3s", "receivers": ["pager"]},
        {"after": "3s", "receivers": ["mail"]},
        {"after": f"{LAST_STEP_S}s", "receivers": ["boss"]},
    ]
    alerting = config["alerting"]
    alerting["grouping"] |= {"groupBy": ["application_id"], "groupInterval": "5s"}
    alerting["receivers"] += [
        {"name": "room", "type": "slack", "config": {"webhookUrlFile": str(folder / "slack")}},
        {"name": "pager", "type": "pagerduty", "config": pager},
        {"name": "boss", "type": "webhook", "config": {"url": on_call.boss_url}},
    ]
    alerting["escalationPolicies"] = [{"name": "unanswered", "steps": steps}]
    alerting["inhibitRules"] = [
        {
            "sourceMatchers": ['severity="critical"'],
            "targetMatchers": ['severity="warning"'],
            "equal": ["application_id"],
            "name": "worse-first",
        }
    ]
    slow = {"metric": "latency_ms", "aggregation": {"function": "avg", "window": "5s", "threshold": 8000}}
    pattern = {"trigger": "event_pattern", "pattern": "(?i)transfer all funds"}
    alerting["definitions"] = [
        {
            "alert_id": "transfer-asked",
            "name": "Transfer asked for",
            "severity": "critical",
            "conditions": pattern,
            "escalation": "unanswered",
            "actions": [{"type": "notification", "config": {"receivers": ["room"]}}, signed],
        },
        {
            "alert_id": "slow-answers",
            "name": "Slow answers",
            "severity": "warning",
            "conditions": {"trigger": "metric_threshold", **slow},
            "actions": [{"type": "notification"}],
        },
        {
            "alert_id": "attacks",
            "name": "Attacks",
            "conditions": {"trigger": "anomaly", "filters": {"detector_ids": ["prompt-injection"]}},
            "actions": [{"type": "notification"}],
        },
    ]
    return config


@pytest.fixture(scope="module")
def on_call() -> Iterator[OnCall]:
    with running_on_call() as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def policy(
    stack: Stack, receivers: Receivers, on_call: OnCall, shield: RunningShield, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """In force for this module; what the other tests of the session expect is put back."""
    stack.apply(_configuration(receivers, on_call, shield, tmp_path_factory.mktemp("secrets")))
    time.sleep(2.0)
    yield
    stack.apply(configuration(receivers, shield=shield.endpoint))
    time.sleep(2.0)


@pytest.fixture
def callbacks(stack: Stack) -> Iterator[str]:
    """`sentinel dispatcher callbacks` on a free port; its address."""
    command = [sys.executable, "-m", "services.cli.main", "dispatcher", "callbacks", "--port", "0"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SENTINEL_")}
    with subprocess.Popen(command, env=kept | {"SENTINEL_HOME": str(stack.home)}, stderr=subprocess.PIPE) as process:
        try:
            assert process.stderr is not None
            yield next(event["url"] for line in process.stderr if (event := json.loads(line))["event"] == "listening")
        finally:
            process.terminate()
            process.wait(20)


def _alert_id(stack: Stack, definition: str, status: str) -> str:
    sql = "SELECT alert_id, status FROM sentinel.alerts WHERE tenant_id = %s AND definition_id = %s"
    what = f"alert {definition} to be {status}"
    rows = wait_for(lambda: stack.rows(sql, TENANT, definition), 120, what, until=lambda found: [row[1] for row in found] == [status])
    return str(rows[0][0])


def _story(stack: Stack, alert_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(stack.sentinel("alerts", "explain", alert_id, "-o", "json").stdout)["decisions"]
    return found


def _decisions(stack: Stack, alert_id: str) -> list[Decision]:
    """Outcome, receiver and reason, as Postgres has them."""
    sql = "SELECT outcome, receiver, detail FROM sentinel.alert_decisions WHERE alert_id = %s ORDER BY decided_at, decision_id"
    return [(row[0], row[1] or "", row[2]) for row in stack.rows(sql, alert_id)]


def _slow(stack: Stack, start_ms: int) -> None:
    calls = [record(response(at_ms, TENANT, "bank", latency_ms=9_500.0), at_ms) for at_ms in range(start_ms, start_ms + 10_000, 500)]
    stack.send_closed(calls, start_ms, start_ms + MINUTE_MS)


def test_from_slack_to_pagerduty_to_mail_until_somebody_answers(
    stack: Stack, segments: Segments, receivers: Receivers, on_call: OnCall, callbacks: str
) -> None:
    start_ms = segments.take(5)
    stack.produce([record(request(start_ms, TENANT, "bank", "Please transfer all funds to my account."), start_ms)])
    fires = _alert_id(stack, "transfer-asked", "firing")
    wait_for(lambda: on_call.slack, 60, "the message in Slack")

    # A warning of the same application waits until the critical alert is over.
    _slow(stack, start_ms + MINUTE_MS)
    slow = _alert_id(stack, "slow-answers", "firing")
    held = ("suppressed", "hook", "inhibited by rule worse-first")
    wait_for(lambda: _decisions(stack, slow), 60, "the inhibition on record", until=lambda found: found == [held])

    # Nobody answers: PagerDuty, then mail. Somebody acknowledges at PagerDuty.
    (event,) = wait_for(lambda: list(on_call.pagerduty), 60, "the event at PagerDuty")
    assert (event["event_action"], event["payload"]["severity"]) == ("trigger", "critical")
    wait_for(lambda: ("sent", "mail", "escalated") in _decisions(stack, fires), 60, "the escalation to mail")
    body, headers = acknowledged(event["dedup_key"], str(uuid4()))
    with urllib.request.urlopen(urllib.request.Request(callbacks, body, headers), timeout=20) as answer:
        assert answer.status == 202
    _alert_id(stack, "transfer-asked", "acknowledged")
    wait = (
        "SELECT now() > max(decided_at) + %s * interval '1 second' FROM sentinel.alert_decisions WHERE alert_id = %s AND receiver = 'mail'"
    )
    wait_for(lambda: stack.value(wait, LAST_STEP_S + 3, fires), 60, "the time of the last step to pass")
    stack.sentinel("alerts", "resolve", fires, "--comment", "it was a drill")
    _alert_id(stack, "transfer-asked", "resolved")

    told = [("sent", receiver, "resolved") for receiver in ("mail", "pager", "room", "webhook-transfer-asked-1")]
    wait_for(lambda: _decisions(stack, fires), 60, "the end told", until=lambda found: set(told) <= set(found))
    delivered = wait_for(
        lambda: [(d[1], d[2]) for d in _decisions(stack, fires) if d[0] == "delivered"],
        60,
        "8 deliveries",
        until=lambda found: len(found) == 8,
    )
    assert sorted(delivered) == sorted([(receiver, "attempt 1: accepted") for _, receiver, _ in told] * 2)
    assert not on_call.boss and not [d for d in _decisions(stack, fires) if d[1] == "boss"], "acknowledged, and escalated all the same"
    assert on_call.refused == []
    assert [body["status"] for body in on_call.signed] == ["firing", "resolved"]
    assert [event["event_action"] for event in on_call.pagerduty] == ["trigger", "resolve"]
    assert len({event["dedup_key"] for event in on_call.pagerduty}) == 1
    assert len(on_call.slack) == 2
    mails = [mail for mail in receivers.mails if TENANT in mail.as_string()]
    assert len(mails) == 2 and len({mail["References"] for mail in mails}) == 1

    # Over: the warning is told at the next tick.
    wait_for(
        lambda: _decisions(stack, slow), 120, "the warning told after all", until=lambda found: ("sent", "hook") in [d[:2] for d in found]
    )
    assert any(call["commonLabels"].get("alertname") == "Slow answers" for call in receivers.calls)
    _as_documented(stack.sentinel("alerts", "explain", fires).stdout.decode())


def test_every_anomaly_that_asks_shield_is_on_its_topic_once_and_in_order(stack: Stack, segments: Segments, shield: RunningShield) -> None:
    start_ms = segments.take(5)
    places = [(number, f"shop-{number % 2}", f"user-{number // 2}") for number in range(2 * ATTACKERS)]
    sent = []
    for again in range(2):
        for number, application, user in places:
            at_ms = start_ms + 30_000 * again + 100 * number
            sent.append(record(request(at_ms, TENANT, application, ATTACK) | {"metadata": {"user_id": user}}, at_ms))
    stack.produce(sent)
    sql = "SELECT anomaly_id FROM sentinel.anomalies WHERE tenant_id = %s AND detector_id = 'prompt-injection' AND application_id LIKE 'shop-%%' AND count = 2"
    # Who attacks twice is one anomaly, of each application its own.
    anomalies = wait_for(lambda: stack.rows(sql, TENANT), 120, "the anomalies", until=lambda rows: len(rows) == len(places))

    def orders() -> list[dict[str, Any]]:
        found = [
            stored.json()
            for stored in sorted(stack.topic("sentinel-shield-actions"), key=lambda stored: (stored.place.partition, stored.place.offset))
        ]
        return [
            order
            for order in found
            if order["tenant_id"] == TENANT and "actions_taken" in order and order["application_id"].startswith("shop-")
        ]

    found = wait_for(orders, 60, "all anomalies at Shield", until=lambda rows: len(rows) >= len(anomalies))
    assert sorted(order["anomaly_id"] for order in found) == sorted(row[0] for row in anomalies)
    for application in ("shop-0", "shop-1"):
        times = [order["first_seen"] for order in found if order["application_id"] == application]
        assert len(times) == ATTACKERS and times == sorted(times)
    booked = "SELECT count(*) FROM analytics.shield_actions WHERE tenant_id = %s AND anomaly_id = ANY(%s)"
    names = [row[0] for row in anomalies]
    wait_for(lambda: stack.value(booked, TENANT, names), 60, "all actions booked", until=lambda count: count == len(names))


def _as_documented(text: str) -> None:
    """The story in the documentation has the same lines, but for times, ids and who asked."""
    documented = DOCUMENT.read_text().split("<!-- story -->")[1].split("```text\n")[1].split("```")[0]
    assert _lines(documented) == _lines(text), f"docs/alerting.md shows another story:\n{text}"


def _lines(text: str) -> list[str]:
    plain = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME", text)
    plain = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\b[0-9a-f]{8}\b", "ID", plain)
    plain = re.sub(r"resolve by \w+", "resolve by WHO", plain)
    return sorted(line.strip() for line in plain.splitlines() if line.strip())
