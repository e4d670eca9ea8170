"""Circuit breaker and rate limit of a receiver: they wait, count no attempt, and concern one receiver alone."""

import asyncio
import contextlib

import pytest

from services.dispatcher.delivery import Delivery, Outcome
from services.dispatcher.errors import SendError
from services.dispatcher.gate import BreakerPolicy, Gates
from services.dispatcher.notification import Notification, parse
from tests.dispatcher.conftest import FAST, Bench, record


def fail(gates: Gates, receiver: str, times: int, *, retryable: bool = True, retry_after_s: float | None = None) -> None:
    for _ in range(times):
        with pytest.raises(SendError, match="down"), gates.attempt(receiver):
            raise SendError("down", retryable=retryable, retry_after_s=retry_after_s)


def succeed(gates: Gates, receiver: str) -> None:
    with gates.attempt(receiver):
        pass


async def passes(gates: Gates, receiver: str) -> bool:
    """Whether the receiver may be tried at once."""
    try:
        await asyncio.wait_for(gates.passage(receiver), 0.05)
    except TimeoutError:
        return False
    return True


def test_five_failures_open_it_for_one_receiver_alone() -> None:
    async def story() -> None:
        gates = Gates()
        fail(gates, "a", 4)
        assert await passes(gates, "a")
        fail(gates, "a", 1)
        assert not await passes(gates, "a")
        assert gates.open_circuits() == ["a"]
        assert await passes(gates, "b")

    asyncio.run(story())


def test_a_success_in_between_starts_the_count_again() -> None:
    gates = Gates()
    fail(gates, "a", 4)
    succeed(gates, "a")
    fail(gates, "a", 4)
    assert gates.open_circuits() == []


def test_a_trial_that_fails_opens_it_again_and_two_successes_close_it() -> None:
    async def story() -> None:
        gates = Gates(policy=BreakerPolicy(open_s=0.1))
        fail(gates, "a", 5)
        await gates.passage("a")
        fail(gates, "a", 1)
        assert gates.open_circuits() == ["a"]
        await gates.passage("a")
        succeed(gates, "a")
        succeed(gates, "a")
        fail(gates, "a", 4)
        assert gates.open_circuits() == []

    asyncio.run(story())


def test_refusals_of_messages_and_waits_that_were_asked_for_are_answers() -> None:
    gates = Gates()
    fail(gates, "a", 20, retryable=False)
    fail(gates, "a", 20, retry_after_s=1.0)
    assert gates.open_circuits() == []


def test_a_cancelled_attempt_moves_nothing() -> None:
    gates = Gates()
    for _ in range(9):
        with contextlib.suppress(asyncio.CancelledError), gates.attempt("a"):
            raise asyncio.CancelledError
    assert gates.open_circuits() == []


def test_the_messages_of_a_minute_are_bounded() -> None:
    async def story() -> None:
        gates = Gates(lambda receiver: 3 if receiver == "a" else 0)
        assert [await passes(gates, "a") for _ in range(5)] == [True, True, True, False, False]
        assert all([await passes(gates, "b") for _ in range(50)])

    asyncio.run(story())


def test_an_open_circuit_uses_up_no_attempt(bench: Bench) -> None:
    """A receiver that is away longer than one notification's attempts: the next ones wait for it and are delivered in order."""
    sent: list[str] = []
    calls = 0

    async def send(notification: Notification) -> None:
        nonlocal calls
        calls += 1
        if calls <= 7:
            raise SendError("down", retryable=True)
        sent.append(notification.notification_id)

    async def work(delivery: Delivery[Notification]) -> list[Outcome]:
        with_gates = Delivery(delivery._ledger, send, bench.bury, lambda: FAST, Gates(policy=BreakerPolicy(open_s=0.05)), parse=parse)
        return [await with_gates.deliver(record(f"n-{number}")) for number in range(3)]

    assert bench.run(work, send=send) == [Outcome.DEAD, Outcome.DELIVERED, Outcome.DELIVERED]
    assert sent == ["n-1", "n-2"]
    assert bench.ledger("n-1")[:2] == ("delivered", 3)
