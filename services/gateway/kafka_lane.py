"""A Kafka producer for batches: every record with `acks=all`, idempotent and in order per key; a batch is reported once, when its last record is in."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from services.gateway.records import KafkaRecord

MAX_RECORD_BYTES = 6 * 1024 * 1024
_FOR_GOOD = (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG, KafkaError.INVALID_RECORD)


class Batch:
    """Records that are acknowledged together. `left` counts those that Kafka has not confirmed; `error` is the first refusal, `refused_for_good` says
    that the same record would be refused again."""

    __slots__ = ("bytes", "done", "error", "left", "records", "refused_for_good", "since_s", "tenant_id")

    def __init__(self, records: list[KafkaRecord], tenant_id: str, since_s: float, done: asyncio.Future[None] | None) -> None:
        self.records, self.tenant_id, self.since_s, self.done = records, tenant_id, since_s, done
        self.left = len(records)
        self.bytes = sum(len(record.value) for record in records)
        self.error: str | None = None
        self.refused_for_good = False

    def refused(self, error: KafkaError) -> None:
        """Notes the refusal of one record."""
        self.error = self.error or error.str()
        self.refused_for_good = error.code() in _FOR_GOOD


class KafkaLane:
    """One producer with a thread that hears the broker's confirmations. `delivered` is called in the event loop with each finished batch."""

    def __init__(self, settings: dict[str, Any], topic: str, loop: asyncio.AbstractEventLoop, delivered: Callable[[Batch], None]) -> None:
        self._topic, self._loop, self._delivered = topic, loop, delivered
        self._producer = Producer(
            {
                "acks": "all",
                "enable.idempotence": True,
                "compression.type": "lz4",
                "linger.ms": 2,
                "partitioner": "murmur2_random",  # as Java and kafka-python place keys
                "message.max.bytes": MAX_RECORD_BYTES,
                # 0 = without limit: the journal decides when waiting ends, and takes its batches elsewhere.
                "delivery.timeout.ms": 0,
                "queue.buffering.max.messages": 1_000_000,
                "queue.buffering.max.kbytes": 1_048_576,
                "reconnect.backoff.max.ms": 1_000,
                "socket.keepalive.enable": True,
                "log_level": 0,
                "error_cb": self._on_error,
                **settings,
            }
        )
        self._finished: deque[Batch] = deque()
        self._scheduled = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="kafka-confirmations", daemon=True)
        self._thread.start()
        self.fatal: str | None = None

    def send(self, batch: Batch) -> None:
        """Hands all records of a batch to the producer. Raises BufferError when its queue is full: then some records may already be on their way."""

        def confirmed(error: KafkaError | None, _: Message | None) -> None:
            # In the poll thread, and nowhere else: the counter needs no lock.
            if error is not None:
                batch.refused(error)
            batch.left -= 1
            if batch.left == 0 and not self._stop.is_set():
                self._finished.append(batch)
                if not self._scheduled:
                    self._scheduled = True
                    self._loop.call_soon_threadsafe(self._report)

        produce, topic = self._producer.produce, self._topic
        for record in batch.records:
            try:
                produce(topic, record.value, record.key, timestamp=record.time_ms, on_delivery=confirmed)
            except KafkaException as error:
                confirmed(error.args[0], None)

    def redirect(self, delivered: Callable[[Batch], None]) -> None:
        """Reports later batches to somebody else."""
        self._delivered = delivered

    def abandon(self) -> None:
        """Gives up everything that is not confirmed; nothing of it is reported afterwards. Returns at once."""
        self._stop.set()

    def close(self) -> None:
        """Stops the thread; for a lane whose batches are all confirmed."""
        self._stop.set()
        self._thread.join(10)

    def _report(self) -> None:
        self._scheduled = False
        while self._finished:
            batch = self._finished.popleft()
            if not self._stop.is_set():
                self._delivered(batch)

    def _poll(self) -> None:
        while not self._stop.is_set():
            self._producer.poll(0.5)
        # Ends in this thread: destroying a producer whose broker is gone may take a moment.
        self._producer.purge()
        self._producer.flush(1)

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            self.fatal = error.str()
