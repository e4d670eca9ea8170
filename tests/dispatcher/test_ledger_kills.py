"""The dispatcher or Postgres dies at each point of a delivery: when is a notification sent again, and when never."""

import asyncio
import multiprocessing
import os
import signal
import threading
import time
from typing import Any

import pytest

from services.dispatcher.delivery import DeadLetter, Delivery, Outcome
from services.dispatcher.errors import SendError
from services.dispatcher.ledger import Ledger
from services.dispatcher.notification import Notification, parse
from tests.dispatcher.conftest import FAST, Bench, record
from tests.support.postgres import PostgresServer

POINTS = ["before begin", "after begin", "after send", "after delivered"]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def life(dsn: str, point: str, sent: Any) -> None:
    """A dispatcher that kills itself at one point of its first delivery (a process of its own, kill -9)."""

    class DyingLedger(Ledger):
        async def begin(self, *args: Any, **options: Any) -> Any:
            if point == "before begin":
                die()
            return await super().begin(*args, **options)

        async def delivered(self, *args: Any, **options: Any) -> None:
            if point == "after send":
                die()
            await super().delivered(*args, **options)
            if point == "after delivered":
                die()

    async def send(_notification: Notification) -> None:
        if point == "after begin":
            die()
        with sent.get_lock():
            sent.value += 1

    async def main() -> None:
        ledger = DyingLedger(dsn)
        await ledger.open()

        async def bury(_letter: DeadLetter) -> None:
            raise AssertionError("nothing dies of a receiver here")

        await Delivery(ledger, send, bury, lambda: FAST, parse=parse).deliver(record())

    asyncio.run(main())


@pytest.mark.parametrize("point", POINTS)
def test_only_between_acceptance_and_commit_is_it_sent_twice(bench: Bench, point: str) -> None:
    context = multiprocessing.get_context("spawn")
    sent = context.Value("i", 0)
    process = context.Process(target=life, args=(bench.dsn, point, sent))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL

    async def send(_notification: Notification) -> None:
        sent.value += 1

    # The offset was not committed: Kafka hands the record out again.
    outcome = bench.deliver(record(), send=send)
    assert sent.value == (2 if point == "after send" else 1)
    assert outcome is (Outcome.SKIPPED if point == "after delivered" else Outcome.DELIVERED)
    assert bench.ledger()[0] == "delivered"


def test_what_was_delivered_is_never_sent_again(bench: Bench) -> None:
    calls = []

    async def send(notification: Notification) -> None:
        calls.append(notification.notification_id)

    assert [bench.deliver(record(), send=send) for _ in range(3)] == [Outcome.DELIVERED, Outcome.SKIPPED, Outcome.SKIPPED]
    assert bench.deliver(record(again=True), send=send) is Outcome.SKIPPED
    assert calls == ["n-1"]


def test_a_dead_one_is_taken_up_again_only_by_a_replay(bench: Bench) -> None:
    async def refuse(_notification: Notification) -> None:
        raise SendError("gone", retryable=False)

    async def accept(_notification: Notification) -> None:
        return None

    assert bench.deliver(record(), send=refuse) is Outcome.DEAD
    assert bench.deliver(record(), send=accept) is Outcome.SKIPPED
    assert len(bench.letters) == 1
    assert bench.deliver(record(again=True), send=accept) is Outcome.DELIVERED
    assert bench.ledger() == ("delivered", 2, None)


def test_a_fault_in_a_sender_ends_as_a_dead_letter(bench: Bench) -> None:
    async def fault(_notification: Notification) -> None:
        raise ZeroDivisionError

    assert bench.deliver(record(), send=fault) is Outcome.DEAD
    assert bench.letters[0].reason == "unexpected ZeroDivisionError"


def test_postgres_away_is_waited_for_and_nothing_is_sent_unbooked(bench: Bench, ledger_server: PostgresServer) -> None:
    calls: list[float] = []

    async def send(_notification: Notification) -> None:
        calls.append(time.monotonic())

    async def work(delivery: Delivery[Notification]) -> tuple[Outcome, float]:
        assert await delivery.deliver(record("n-0")) is Outcome.DELIVERED
        ledger_server.stop(hard=True)
        back: list[float] = []

        def restart() -> None:
            time.sleep(1)
            back.append(time.monotonic())
            ledger_server.start()

        thread = threading.Thread(target=restart)
        thread.start()
        outcome = await delivery.deliver(record("n-1"))
        thread.join()
        return outcome, back[0]

    outcome, back = bench.run(work, send=send)
    assert outcome is Outcome.DELIVERED
    assert len(calls) == 2
    assert calls[1] >= back


def test_a_stop_lets_a_send_end_and_be_booked(bench: Bench) -> None:
    async def slow(_notification: Notification) -> None:
        await asyncio.sleep(0.3)

    async def work(delivery: Delivery[Notification]) -> None:
        task = asyncio.create_task(delivery.deliver(record()))
        await asyncio.sleep(0.15)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    bench.run(work, send=slow)
    assert bench.ledger()[0] == "delivered"
