"""The Kafka side: records of `notify-*` to one worker a partition, offsets committed once the ledger holds their fate."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from sentinel.kafka_access import librdkafka
from services.dispatcher.dead_letters import REPLAY_HEADER
from services.dispatcher.delivery import Record
from services.dispatcher.events import Sparingly, log_event, plain
from services.dispatcher.worker import Deliver, Worker

GROUP = "sentinel-dispatcher"
PATTERN = "^notify-([^d].*|d|d[^l].*|dl|dl[^q].*|dlq.+)$"
"""Every `notify-<receiver>`, except `notify-dlq`: the broker client's regular expressions know no negative look-ahead."""

HEALTH_INTERVAL_S = 10.0
STOP_LIMIT_S = 20.0
_BATCH = 200

Partition = tuple[str, int]


class KafkaConsumer(Protocol):
    """What the loop uses of confluent_kafka.Consumer."""

    def subscribe(self, topics: list[str], on_assign: Any = ..., on_revoke: Any = ..., on_lost: Any = ...) -> None: ...
    def poll(self, timeout: float) -> Any: ...
    def pause(self, partitions: list[TopicPartition]) -> None: ...
    def resume(self, partitions: list[TopicPartition]) -> None: ...

    @property
    def commit(self) -> Callable[..., Any]: ...

    def close(self) -> None: ...


def consumer(bootstrap: str) -> KafkaConsumer:
    """A consumer of the dispatchers' group. New receivers' topics are found within 5 s."""
    return Consumer(
        {
            **librdkafka(bootstrap),
            "group.id": GROUP,
            "enable.auto.commit": False,
            # A topic that appears is read from its start: its first notification came before we knew of it.
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "topic.metadata.refresh.interval.ms": 5_000,
            # A dispatcher that died or a broker that came back is noticed soon: an alert waits for it.
            "session.timeout.ms": 6_000,
            "heartbeat.interval.ms": 2_000,
            "reconnect.backoff.max.ms": 1_000,
            "log_level": 0,
            "error_cb": Sparingly("kafka"),
        }
    )


class DispatcherLoop:
    """Runs until `stop` is set. Polling happens in a thread of its own; everything else on the event loop."""

    def __init__(
        self,
        source: KafkaConsumer,
        deliver: Deliver,
        stop: asyncio.Event,
        housekeeping: Callable[[], None],
        health: Callable[[], dict[str, Any]],
        topics: Sequence[str] = (PATTERN,),
    ) -> None:
        self._topics = list(topics)
        self._source = source
        self._deliver = deliver
        self._stop = stop
        self._housekeeping = housekeeping
        self._health = health
        self._workers: dict[Partition, Worker] = {}
        self._committed: dict[Partition, int] = {}
        self._paused: set[Partition] = set()
        self._gathered: list[Record] = []
        self._trouble = Sparingly("kafka")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kafka")

    async def run(self) -> None:
        """Polls, hands out, commits; at the end stops the workers and commits what they did.

        Raises KafkaException when the client is beyond use.
        """
        loop = asyncio.get_running_loop()

        def revoked(_consumer: Any, partitions: Sequence[TopicPartition]) -> None:
            # In the polling thread: the partitions leave when this returns, so what is under way is settled first.
            lost = [(p.topic, p.partition) for p in partitions]
            self._gathered = [record for record in self._gathered if (record.topic, record.partition) not in lost]
            asyncio.run_coroutine_threadsafe(self._release(lost), loop).result(STOP_LIMIT_S + 5)

        self._source.subscribe(self._topics, on_revoke=revoked, on_lost=revoked)
        last_health = loop.time() - HEALTH_INTERVAL_S
        try:
            while not self._stop.is_set():
                for record in await loop.run_in_executor(self._thread, self._poll):
                    self._worker((record.topic, record.partition)).put(record)
                self._commit(list(self._workers), asynchronous=True)
                self._bound()
                self._housekeeping()
                if loop.time() - last_health >= HEALTH_INTERVAL_S:
                    last_health = loop.time()
                    log_event("health", backlog={topic: worker.backlog for (topic, _), worker in self._workers.items()}, **self._health())
        finally:
            await self._release(list(self._workers))
            await loop.run_in_executor(self._thread, self._source.close)
            self._thread.shutdown(wait=False)

    def _poll(self) -> list[Record]:
        """What has come within 0.1 s: the first record at once, with those that are already there."""
        self._gathered = []
        message = self._source.poll(0.1)
        while message is not None:
            error = message.error()
            if error is None:
                again = any(name == REPLAY_HEADER for name, _ in message.headers() or [])
                self._gathered.append(Record(message.topic(), message.partition(), message.offset(), message.value() or b"", again))
            elif error.fatal():
                raise KafkaException(error)
            elif error.code() != KafkaError._PARTITION_EOF:
                self._trouble(error)
            message = self._source.poll(0) if len(self._gathered) < _BATCH else None
        return self._gathered

    def _worker(self, partition: Partition) -> Worker:
        if partition not in self._workers:
            self._workers[partition] = Worker(self._deliver)
        return self._workers[partition]

    def _bound(self) -> None:
        """Stops fetching for a receiver that does not keep up; Kafka keeps its records."""
        for partition, worker in self._workers.items():
            if worker.backlog >= Worker.HIGH and partition not in self._paused:
                self._source.pause([TopicPartition(*partition)])
                self._paused.add(partition)
            elif worker.backlog <= Worker.LOW and partition in self._paused:
                self._source.resume([TopicPartition(*partition)])
                self._paused.discard(partition)

    def _commit(self, partitions: list[Partition], *, asynchronous: bool) -> None:
        fresh = {}
        for partition in partitions:
            offset = self._workers[partition].next_offset
            if offset is not None and self._committed.get(partition) != offset:
                fresh[partition] = offset
        if not fresh:
            return
        try:
            offsets = [TopicPartition(*partition, offset) for partition, offset in fresh.items()]
            self._source.commit(offsets=offsets, asynchronous=asynchronous)
        except KafkaException as error:
            # Not committed is not lost: the ledger skips what comes again.
            log_event("commit_failed", error=plain(str(error)))
            return
        self._committed |= fresh

    async def _release(self, partitions: list[Partition]) -> None:
        """Settles and forgets partitions: sends under way end, waits are cut, the rest stays in Kafka."""
        mine = [partition for partition in partitions if partition in self._workers]
        if mine:
            await asyncio.wait([asyncio.create_task(self._workers[partition].stop()) for partition in mine], timeout=STOP_LIMIT_S)
            self._commit(mine, asynchronous=False)
        for partition in mine:
            del self._workers[partition]
            self._committed.pop(partition, None)
            self._paused.discard(partition)
