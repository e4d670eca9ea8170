"""The Kafka side against a scripted consumer: what is committed and when, bounds, new receivers, a lost partition, a stop."""

import asyncio
import re
import threading
import time
from collections import deque
from typing import Any

import pytest
from confluent_kafka import TopicPartition

from services.dispatcher.delivery import Outcome, Record
from services.dispatcher.loop import PATTERN, DispatcherLoop
from services.dispatcher.worker import Worker


class Message:
    def __init__(self, topic: str, offset: int, headers: Any = None) -> None:
        self._topic, self._offset, self._headers = topic, offset, headers

    def error(self) -> None:
        return None

    def topic(self) -> str:
        return self._topic

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def value(self) -> bytes:
        return b"{}"

    def headers(self) -> Any:
        return self._headers


class ScriptedConsumer:
    """Hands out what is put into `waiting`, honours pauses, keeps the committed offsets."""

    def __init__(self) -> None:
        self.waiting: deque[Message] = deque()
        self.paused: set[str] = set()
        self.committed: dict[str, int] = {}
        self.closed = False
        self.revoke: list[TopicPartition] | None = None

    def subscribe(self, topics: list[str], on_assign: Any = None, on_revoke: Any = None, on_lost: Any = None) -> None:
        self.on_revoke = on_revoke

    def poll(self, timeout: float) -> Message | None:
        if self.revoke is not None:
            lost, self.revoke = self.revoke, None
            self.on_revoke(self, lost)
        for message in self.waiting:
            if message.topic() not in self.paused:
                self.waiting.remove(message)
                return message
        time.sleep(min(timeout, 0.01))
        return None

    def pause(self, partitions: list[TopicPartition]) -> None:
        self.paused |= {partition.topic for partition in partitions}

    def resume(self, partitions: list[TopicPartition]) -> None:
        self.paused -= {partition.topic for partition in partitions}

    def commit(self, *, offsets: list[TopicPartition], asynchronous: bool) -> None:
        self.committed |= {partition.topic: partition.offset for partition in offsets}

    def close(self) -> None:
        self.closed = True


async def until(condition: Any, limit_s: float = 5.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.005)


def run(source: ScriptedConsumer, deliver: Any, story: Any) -> None:
    """Runs the loop while the story is told, then stops it."""

    async def life() -> None:
        stop = asyncio.Event()
        task = asyncio.create_task(DispatcherLoop(source, deliver, stop, lambda: None, dict).run())
        try:
            await story()
        finally:
            stop.set()
            await task

    asyncio.run(life())


def test_an_offset_is_committed_only_after_its_record_is_settled() -> None:
    source, gate = ScriptedConsumer(), asyncio.Event()
    source.waiting.extend(Message("notify-a", offset) for offset in range(3))

    async def deliver(record: Record) -> Outcome:
        if record.offset == 1:
            await gate.wait()
        return Outcome.DELIVERED

    async def story() -> None:
        await until(lambda: source.committed == {"notify-a": 1})
        await asyncio.sleep(0.1)
        assert source.committed == {"notify-a": 1}
        gate.set()
        await until(lambda: source.committed == {"notify-a": 3})

    run(source, deliver, story)
    assert source.closed


def test_a_stuck_receiver_is_paused_and_the_others_go_on() -> None:
    source, gate = ScriptedConsumer(), asyncio.Event()
    source.waiting.extend(Message("notify-stuck", offset) for offset in range(5 * Worker.HIGH))

    async def deliver(record: Record) -> Outcome:
        if record.topic == "notify-stuck":
            await gate.wait()
        return Outcome.DELIVERED

    async def story() -> None:
        await until(lambda: source.paused == {"notify-stuck"})
        source.waiting.append(Message("notify-b", 0))
        await until(lambda: source.committed == {"notify-b": 1})
        assert len(source.waiting) >= 2 * Worker.HIGH
        gate.set()
        await until(lambda: source.committed.get("notify-stuck") == 5 * Worker.HIGH)
        assert source.paused == set()

    run(source, deliver, story)


def test_a_fault_beyond_the_receiver_does_not_pass_the_record_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.dispatcher.worker.FAULT_WAIT_S", 0.01)
    source, tries = ScriptedConsumer(), []
    source.waiting.append(Message("notify-a", 4, [("sentinel-replay", b"1")]))

    async def deliver(record: Record) -> Outcome:
        tries.append(record)
        if len(tries) < 3:
            raise RuntimeError("the dead-letter topic is full")
        return Outcome.DEAD

    async def story() -> None:
        await until(lambda: source.committed == {"notify-a": 5})

    run(source, deliver, story)
    assert [record.again for record in tries] == [True] * 3


def test_a_partition_that_leaves_is_settled_first_and_its_rest_is_dropped() -> None:
    source, done, started = ScriptedConsumer(), [], threading.Event()
    source.waiting.extend(Message("notify-a", offset) for offset in range(10))

    async def deliver(record: Record) -> Outcome:
        started.set()
        await asyncio.sleep(0.05)
        done.append(record.offset)
        return Outcome.DELIVERED

    async def story() -> None:
        await until(started.is_set)
        await until(lambda: len(done) >= 2)
        source.revoke = [TopicPartition("notify-a", 0)]
        await until(lambda: source.revoke is None)
        await asyncio.sleep(0.1)
        settled = len(done)
        await asyncio.sleep(0.2)
        assert len(done) == settled < 10
        assert source.committed == {"notify-a": settled}

    run(source, deliver, story)


def test_the_pattern_takes_every_receiver_but_the_dead_letters() -> None:
    taken = ["notify-a", "notify-d", "notify-dl", "notify-dlx", "notify-dlq2", "notify-dev", "notify-slack.ops", "notify-x-dlq"]
    assert all(re.search(PATTERN, name) for name in taken)
    assert not any(re.search(PATTERN, name) for name in ["notify-dlq", "notify-", "llm-alerts", "x-notify-a"])
