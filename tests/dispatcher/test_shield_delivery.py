"""Records for Shield through ledger, retries and a real gRPC server: enforced once, revoked at the end of the alert."""

import json
import time
from collections.abc import Iterator
from itertools import count
from typing import Any

import psycopg
import pytest

from sentinel.timestamps import to_rfc3339
from services.dispatcher import shield_orders
from services.dispatcher.delivery import Delivery, Outcome, Record, RetryPolicy
from services.dispatcher.settings import shield_policy
from services.dispatcher.shield_book import ShieldBook
from services.dispatcher.shield_orders import Order
from services.dispatcher.shield_sender import ShieldSender
from tests.dispatcher.conftest import Bench
from tests.support.shield import RunningShield, running_shield

offsets = count()
POLICY = RetryPolicy(attempts=3, wait_initial_s=0.01, wait_max_s=0.02, jitter_s=0)


@pytest.fixture
def shield() -> Iterator[RunningShield]:
    with running_shield() as running:
        yield running


def anomaly(name: str = "an-1", age_s: float = 0.0, **changes: Any) -> Record:
    when = to_rfc3339(round((time.time() - age_s) * 1000))
    action = {
        "action": "shield_block",
        "target": "acme/user:u-1",
        "status": "pending",
        "timestamp": when,
        "action_id": f"act-{name}",
        "duration_s": 3600.0,
        "reason": "injected",
        "parameters": {"severity": "critical"},
        "endpoint": "",
    }
    value = {"anomaly_id": name, "tenant_id": "acme", "title": "Injection", "actions_taken": [action | changes]}
    return Record(shield_orders.TOPIC, 0, next(offsets), json.dumps(value).encode())


def alert(status: str, anomalies: list[str], tenant: str = "acme", **changes: Any) -> Record:
    value = {
        "alert_id": "al-1",
        "tenant_id": tenant,
        "status": status,
        "ends_at": "2026-01-01T00:00:00Z",
        "anomaly_ids": anomalies,
    } | changes
    return Record(shield_orders.TOPIC, 0, next(offsets), json.dumps(value).encode())


def deliver(bench: Bench, endpoint: str | None, *records: Record) -> list[Outcome]:
    """One life of the part of the dispatcher that speaks to Shield."""
    config = {"integrations": {"shield": {"endpoint": endpoint, "timeout": "2s"}}} if endpoint else {}

    async def work(base: Delivery[Any]) -> list[Outcome]:
        sender = ShieldSender(lambda: (1, config), ShieldBook(base._ledger.database))
        delivery: Delivery[Order] = Delivery(
            base._ledger, sender, bench.bury, lambda: POLICY, parse=shield_orders.parse, concerns=sender.concerns
        )
        try:
            return [await delivery.deliver(record) for record in records]
        finally:
            await sender.close()

    outcomes: list[Outcome] = bench.run(work)
    return outcomes


def book(bench: Bench) -> list[tuple[Any, ...]]:
    with psycopg.connect(bench.dsn) as connection:
        return connection.execute("SELECT action_id, kind, target_entity, state FROM analytics.shield_actions ORDER BY 1").fetchall()


def test_enforced_once_whatever_comes_again(bench: Bench, shield: RunningShield) -> None:
    record = anomaly()
    assert deliver(bench, shield.endpoint, record, record) == [Outcome.DELIVERED, Outcome.SKIPPED]
    assert deliver(bench, shield.endpoint, record) == [Outcome.SKIPPED]
    (action,) = shield.shield.in_force("acme/user:u-1")
    assert action.parameters == {"tenant_id": "acme", "anomaly_id": "an-1", "severity": "critical"}
    assert book(bench) == [("act-an-1", "block", "acme/user:u-1", "enforced")]


def test_a_crash_before_the_commit_asks_for_the_same_action(bench: Bench, shield: RunningShield) -> None:
    assert deliver(bench, shield.endpoint, anomaly()) == [Outcome.DELIVERED]
    with psycopg.connect(bench.dsn) as connection:
        connection.execute("UPDATE sentinel.notification_ledger SET state = 'sending'")
    assert deliver(bench, shield.endpoint, anomaly()) == [Outcome.DELIVERED]
    assert [event["event"] for event in shield.events] == ["enforced"]


def test_the_end_of_the_alert_revokes_what_it_and_its_anomalies_asked_for(bench: Bench, shield: RunningShield) -> None:
    records = [anomaly("an-1"), anomaly("an-2"), anomaly("an-3")]
    outcomes = deliver(bench, shield.endpoint, *records, alert("resolved", ["an-1", "an-2"]), alert("resolved", ["an-1", "an-2"]))
    assert outcomes == [Outcome.DELIVERED] * 4 + [Outcome.SKIPPED]
    assert [action.action_id for action in shield.shield.in_force()] == ["act-an-3"]
    assert [row[3] for row in book(bench)] == ["revoked", "revoked", "enforced"]


def test_what_was_too_much_to_be_remembered_is_on_record(bench: Bench, shield: RunningShield) -> None:
    assert (
        deliver(bench, shield.endpoint, anomaly("an-1"), anomaly("an-2"), alert("resolved", ["an-1"], shield_forgotten=1))[-1]
        is Outcome.DELIVERED
    )
    with psycopg.connect(bench.dsn) as connection:
        (note,) = connection.execute("SELECT last_error FROM sentinel.notification_ledger WHERE last_error IS NOT NULL").fetchone() or ("",)
        (told,) = connection.execute("SELECT detail FROM sentinel.alert_decisions WHERE alert_id = 'al-1'").fetchone() or ("",)
    assert note == "1 revoked; actions of 1 more anomalies end by themselves" and note in told
    assert [row[3] for row in book(bench)] == ["revoked", "enforced"]


def test_the_alert_of_another_tenant_revokes_nothing(bench: Bench, shield: RunningShield) -> None:
    assert deliver(bench, shield.endpoint, anomaly(), alert("resolved", ["an-1"], "umbrella")) == [Outcome.DELIVERED, Outcome.SKIPPED]
    assert len(shield.shield.in_force()) == 1


def test_an_end_that_concerns_no_action_is_not_booked(bench: Bench, shield: RunningShield) -> None:
    assert deliver(bench, shield.endpoint, alert("resolved", ["an-9"])) == [Outcome.SKIPPED]
    with psycopg.connect(bench.dsn) as connection:
        assert connection.execute("SELECT count(*) FROM sentinel.notification_ledger").fetchone() == (0,)


def test_only_the_time_that_is_left_is_asked_for(bench: Bench, shield: RunningShield) -> None:
    assert deliver(bench, shield.endpoint, anomaly(age_s=3000)) == [Outcome.DELIVERED]
    (action,) = shield.shield.in_force()
    assert action.until_s - action.enforced_at_s == pytest.approx(600, abs=30)


@pytest.mark.parametrize(
    ("changes", "attempts", "reason"),
    [
        ({"timestamp": "2026-01-01T00:00:00Z"}, 1, "the time of the action was over before it could be enforced"),
        ({"target": ""}, 1, "Shield: INVALID_ARGUMENT: expected action_id and target_entity"),
        ({"endpoint": "127.0.0.1:1"}, 3, "Shield: UNAVAILABLE: "),
    ],
)
def test_what_cannot_be_enforced_is_a_dead_letter(
    bench: Bench, shield: RunningShield, changes: dict[str, Any], attempts: int, reason: str
) -> None:
    assert deliver(bench, shield.endpoint, anomaly(**changes)) == [Outcome.DEAD]
    (letter,) = bench.letters
    assert (letter.receiver, letter.attempts) == ("shield", attempts)
    assert letter.reason.startswith(reason)


def test_without_a_shield_it_is_said(bench: Bench) -> None:
    assert deliver(bench, None, anomaly()) == [Outcome.DEAD]
    assert bench.letters[0].reason == "no Shield is configured (integrations.shield.endpoint)"


def test_the_retries_are_those_of_the_specification() -> None:
    usual = shield_policy({"integrations": {"shield": {"endpoint": "x:1"}}})
    assert (usual.attempts, usual.wait_initial_s, usual.wait_max_s, usual.multiplier) == (3, 0.5, 5.0, 2.0)
    given = shield_policy({"retry": {"shieldAction": {"enabled": True, "maxAttempts": 7, "initialBackoff": "250ms", "maxBackoff": "2s"}}})
    assert (given.attempts, given.wait_initial_s, given.wait_max_s) == (7, 0.25, 2.0)
