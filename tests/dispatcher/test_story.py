"""`sentinel alerts explain` tells what the dispatcher did: every attempt, every wait, the end, each with why."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from typing import Any

import psycopg
from pytest_httpserver import HTTPServer
from typer.testing import CliRunner
from werkzeug import Response

from services.cli.alerts_cmd import app
from services.dispatcher.delivery import Delivery, Outcome, RetryPolicy
from services.dispatcher.errors import SendError
from services.dispatcher.gate import BreakerPolicy, Gates
from services.dispatcher.notification import Notification, parse
from tests.dispatcher.conftest import FAST, Bench, answers, record

ALERT = """
INSERT INTO sentinel.alerts (alert_id, tenant_id, definition_id, status, severity, labels, anomaly_ids, starts_at, last_seen, count)
VALUES ('a-11111', 'acme', 'default', 'firing', 'critical', '{}', '["an-1"]', now(), now(), 1)
"""
SENT = """
INSERT INTO sentinel.alert_decisions (decision_id, alert_id, tenant_id, receiver, decided_at, outcome, detail, firing, resolved, notification_id)
VALUES (%(id)s || '-sent', 'a-11111', 'acme', 'hook', now(), 'sent', 'first', 1, 0, %(id)s)
"""


def _alert(bench: Bench, *notifications: str) -> None:
    """What the alerting job writes of an alert and its messages."""
    with psycopg.connect(bench.dsn) as connection:
        connection.execute(ALERT)
        for name in notifications:
            connection.execute(SENT, {"id": name})


def _explain(bench: Bench, *options: str) -> str:
    done = CliRunner().invoke(app, ["explain", "a-11111", "--dsn", bench.dsn, *options])
    assert done.exit_code == 0, done.output
    return done.stdout


def _story(bench: Bench) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(_explain(bench, "-o", "json"))["decisions"]
    return found


def _outcomes(bench: Bench) -> list[tuple[str, str]]:
    return [(entry["outcome"], entry["detail"]) for entry in _story(bench)]


def test_failed_attempts_are_told_with_the_answer_and_the_next_one(bench: Bench, httpserver: HTTPServer) -> None:
    answers(httpserver, Response("later", 503, headers={"Retry-After": "1"}), Response("", 200))
    bench.add("hook", "webhook", url=httpserver.url_for("/hook"))
    _alert(bench, "n-1")
    assert bench.deliver(record(alert_id="a-11111")) is Outcome.DELIVERED
    assert _outcomes(bench) == [("sent", "first"), ("failed", "attempt 1: HTTP 503 later"), ("delivered", "attempt 2: accepted")]
    failed = _story(bench)[1]
    waits = datetime.fromisoformat(failed["waits_until"]) - datetime.fromisoformat(failed["at"])
    assert waits.total_seconds() == 1.0
    text = _explain(bench)
    assert "sent: first (1 firing), message n-1\n" in text
    assert "failed: attempt 1: HTTP 503 later, until" in text


def test_a_message_that_was_given_up_is_told_with_why(bench: Bench, httpserver: HTTPServer) -> None:
    answers(httpserver, Response("no such hook", 404))
    bench.add("hook", "webhook", url=httpserver.url_for("/hook"))
    _alert(bench, "n-1")
    assert bench.deliver(record(alert_id="a-11111")) is Outcome.DEAD
    assert _outcomes(bench)[1:] == [
        ("failed", "attempt 1: HTTP 404 no such hook"),
        ("dead", "given up, on the dead-letter topic: HTTP 404 no such hook"),
    ]
    assert [entry["waits_until"] for entry in _story(bench)] == [None, None, None]
    httpserver.clear_all_handlers()
    answers(httpserver, Response("", 200))
    assert bench.deliver(record(alert_id="a-11111", again=True)) is Outcome.DELIVERED
    assert _outcomes(bench)[3:] == [("delivered", "attempt 2: accepted")], "a replay goes on where it was given up"


def test_an_open_circuit_is_one_wait_for_the_message_and_said_of_those_behind_it(bench: Bench) -> None:
    async def send(_: Notification) -> None:
        raise SendError("down", retryable=True)

    async def work(delivery: Delivery[Notification]) -> None:
        once = RetryPolicy(attempts=1)
        gates = Gates(policy=BreakerPolicy(failures=1, open_s=60))
        with_gates = Delivery(delivery._ledger, send, bench.bury, lambda: once, gates, parse=parse)
        assert await with_gates.deliver(record("n-1", alert_id="a-11111")) is Outcome.DEAD
        for _ in range(2):
            # A dispatcher that is stopped and started waits on: the same decision.
            waiting = asyncio.create_task(with_gates.deliver(record("n-2", alert_id="a-11111")))
            await asyncio.wait([waiting], timeout=0.5)
            waiting.cancel()

    _alert(bench, "n-1", "n-2", "n-3")
    bench.run(work, send=send)
    waits = [entry for entry in _story(bench) if entry["outcome"] == "waiting"]
    assert [entry["detail"] for entry in waits] == ["the circuit of the receiver is open after 1 failures in a row"]
    left = datetime.fromisoformat(waits[0]["waits_until"]) - datetime.fromisoformat(waits[0]["at"])
    assert 50 < left.total_seconds() < 62
    assert "message n-3 waits for the dispatcher, which waits for the receiver until" in _explain(bench)


def test_the_rate_limit_is_a_wait_too(bench: Bench) -> None:
    async def send(_: Notification) -> None:
        return None

    async def work(delivery: Delivery[Notification]) -> None:
        with_gates = Delivery(delivery._ledger, send, bench.bury, lambda: FAST, Gates(lambda _: 1), parse=parse)
        assert await with_gates.deliver(record("n-1", alert_id="a-11111")) is Outcome.DELIVERED
        waiting = asyncio.create_task(with_gates.deliver(record("n-2", alert_id="a-11111")))
        await asyncio.wait([waiting], timeout=0.5)
        waiting.cancel()

    _alert(bench, "n-1", "n-2")
    bench.run(work, send=send)
    assert ("waiting", "the rate limit of 1 messages a minute") in _outcomes(bench)


def test_what_is_about_no_alert_is_booked_and_no_decision(bench: Bench, httpserver: HTTPServer) -> None:
    answers(httpserver, Response("", 200))
    bench.add("hook", "webhook", url=httpserver.url_for("/hook"))
    assert bench.deliver(record(alert_id="")) is Outcome.DELIVERED
    assert bench.ledger()[0] == "delivered"
    with psycopg.connect(bench.dsn) as connection:
        assert connection.execute("SELECT count(*) FROM sentinel.alert_decisions").fetchone() == (0,)


def test_what_shield_did_belongs_to_the_story(bench: Bench) -> None:
    _alert(bench)
    shield = """
    INSERT INTO sentinel.shield_actions (action_id, tenant_id, anomaly_id, kind, target_entity, endpoint, state, message, enforced_at, expires_at)
    VALUES ('s-1', 'acme', 'an-1', 'block', 'acme/user:u7', 'grpc://x', 'enforced', 'ok', now(), now() + interval '1 hour'),
           ('s-2', 'other', 'an-1', 'block', 'other/user:u7', 'grpc://x', 'enforced', 'ok', now(), now() + interval '1 hour')
    """
    with psycopg.connect(bench.dsn) as connection:
        connection.execute(shield)
    text = _explain(bench)
    assert "enforced: block of acme/user:u7, until" in text and "other/" not in text
