"""Where events become durable: in Kafka while it is quick, on disk while it is slow or gone, and refused before anything would be lost.

Two modes. *Direct*: batches go to the Kafka producer and are acknowledged when every record is confirmed by all replicas. When the oldest
one has waited for `slow_after_s`, or the memory buffer is full, the mode becomes *spilling*: all batches that wait are written to the overflow
log in their order (and acknowledged there), new ones behind them, and a drainer sends the log to Kafka from the front. When the log is empty the
mode is direct again. A batch that had reached Kafka without its confirmation is in Kafka twice then, with the same event ids; within a key
nothing overtakes.

Everything here runs in the event loop; the disk has one thread of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from services.dispatcher.events import log_event
from services.gateway.drain import Drainer
from services.gateway.kafka_lane import Batch, KafkaLane
from services.gateway.overflow import OverflowFullError, OverflowLog
from services.gateway.records import KafkaRecord, RateLimitedError, UnavailableError

LOOK_EVERY_S = 0.1
APPEND_BATCHES = 500
RETRY_AFTER_S = 2.0


class BufferLimits(NamedTuple):
    """How much may wait in memory, and how long Kafka may take before the disk is used."""

    events: int = 100_000
    bytes: int = 256 * 1024 * 1024
    slow_after_s: float = 2.0
    tenant_share: float = 0.5
    """Of the buffer that one tenant may fill."""


class Journal:
    """Takes batches and says when they are durable. Without an overflow log, waiting for Kafka is all it can do."""

    def __init__(self, new_lane: Callable[[Callable[[Batch], None]], KafkaLane], log: OverflowLog | None, limits: BufferLimits) -> None:
        self._new_lane, self._log, self._limits = new_lane, log, limits
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="overflow")
        self._in_flight: dict[int, Batch] = {}
        self._to_disk: deque[Batch] = deque()
        self._writing = False
        self.events_in_memory = 0
        self.bytes_in_memory = 0
        self.by_tenant: dict[str, int] = {}
        self.spilled_events = 0
        self._drained_before = 0
        self.refused_events = 0
        self._drainer: Drainer | None = None
        self._draining: asyncio.Task[None] | None = None
        self._lane = new_lane(self._delivered)
        self._watch = asyncio.get_running_loop().create_task(self._look())
        if log is not None and log.events:
            log_event("overflow_found", events=log.events, bytes=log.size_bytes)
            self._spill("events of an earlier run wait on disk")

    @property
    def spilling(self) -> bool:
        """Whether new events go to disk."""
        return self._drainer is not None

    @property
    def takes_events(self) -> bool:
        """Whether there is room for more events."""
        return self.events_in_memory < self._limits.events and self.bytes_in_memory < self._limits.bytes

    @property
    def overflow_events(self) -> int:
        """Events on disk."""
        return self._log.events if self._log is not None else 0

    @property
    def overflow_bytes(self) -> int:
        """Bytes of the overflow on disk."""
        return self._log.size_bytes if self._log is not None else 0

    @property
    def draining_bytes(self) -> int:
        """Bytes that were read from disk and are not confirmed by Kafka."""
        return self._drainer.bytes_under_way if self._drainer is not None else 0

    @property
    def drained_events(self) -> int:
        """Events that went from disk to Kafka."""
        return self._drained_before + (self._drainer.drained_events if self._drainer is not None else 0)

    @property
    def corrupt_batches(self) -> int:
        """Batches on disk whose checksum failed."""
        return self._log.corrupt_batches if self._log is not None else 0

    def oldest_wait_s(self) -> float:
        """How long the oldest batch waits for Kafka's confirmation."""
        oldest = next(iter(self._in_flight.values()), None)
        return time.monotonic() - oldest.since_s if oldest is not None else 0.0

    def submit(self, records: list[KafkaRecord], tenant_id: str) -> asyncio.Future[None]:
        """Completes when all records are durable. Raises UnavailableError or RateLimitedError at once when the buffer has no room; the future may raise
        UnavailableError later. In both cases the sender has to send again."""
        done = asyncio.get_running_loop().create_future()
        batch = Batch(records, tenant_id, time.monotonic(), done)
        self._admit(batch)
        if self.spilling:
            self._to_disk.append(batch)
            self._write_on()
        else:
            self._send(batch)
        return done

    async def close(self) -> None:
        """Waits for what is under way as long as Kafka takes it; with a log, the rest goes to disk."""
        deadline = time.monotonic() + self._limits.slow_after_s
        while self._in_flight and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        if self._in_flight and self._log is not None:
            self._spill("the gateway stops")
        while self._to_disk or self._writing:
            await asyncio.sleep(0.01)
        for task in (self._watch, self._draining):
            if task is not None:
                task.cancel()
        self._lane.abandon()
        self._disk.shutdown(wait=True)
        if self._log is not None:
            self._log.close()

    def _admit(self, batch: Batch) -> None:
        limits, events = self._limits, len(batch.records)
        mine = self.by_tenant.get(batch.tenant_id, 0)
        full = bool(self.events_in_memory) and (
            self.events_in_memory + events > limits.events or self.bytes_in_memory + batch.bytes > limits.bytes
        )
        share_is_full = bool(mine) and mine + events > limits.events * limits.tenant_share
        if (full or share_is_full) and self._log is not None and not self.spilling:
            # The disk comes before anybody is sent away.
            self._spill("the memory buffer is full")
        elif full:
            raise UnavailableError("the buffer is full: Kafka takes no events at the moment", retry_after_s=RETRY_AFTER_S)
        elif share_is_full:
            raise RateLimitedError("the tenant's share of the buffer is full", retry_after_s=1.0)
        self.events_in_memory += events
        self.bytes_in_memory += batch.bytes
        self.by_tenant[batch.tenant_id] = mine + events

    def _release(self, batch: Batch) -> None:
        events = len(batch.records)
        self.events_in_memory -= events
        self.bytes_in_memory -= batch.bytes
        left = self.by_tenant.get(batch.tenant_id, 0) - events
        if left > 0:
            self.by_tenant[batch.tenant_id] = left
        else:
            self.by_tenant.pop(batch.tenant_id, None)

    def _send(self, batch: Batch) -> None:
        self._in_flight[id(batch)] = batch
        try:
            self._lane.send(batch)
        except BufferError:
            self._overflow_or_fail("the producer's queue is full")

    def _delivered(self, batch: Batch) -> None:
        if self._in_flight.pop(id(batch), None) is None:
            return
        self._release(batch)
        if batch.error is None:
            _finish(batch, None)
        else:
            self.refused_events += len(batch.records)
            _finish(batch, UnavailableError(f"Kafka refused the events: {batch.error}", retry_after_s=RETRY_AFTER_S))

    async def _look(self) -> None:
        """Watches the oldest batch."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if not self.spilling and (self.oldest_wait_s() > self._limits.slow_after_s or self._lane.fatal is not None):
                self._overflow_or_fail("Kafka is slow or gone")

    def _overflow_or_fail(self, reason: str) -> None:
        if self._log is not None:
            self._spill(reason)
            return
        # Nobody is told "accepted" for these. Should they reach Kafka after all, they carry the ids under which they are sent again.
        waiting, self._in_flight = list(self._in_flight.values()), {}
        self._lane.abandon()
        self._lane = self._new_lane(self._delivered)
        for batch in waiting:
            self._release(batch)
            _finish(batch, UnavailableError(reason, retry_after_s=RETRY_AFTER_S))

    def _spill(self, reason: str) -> None:
        """Everything that waits goes to disk in its order; a new producer drains the log."""
        assert self._log is not None
        log_event("spilling", reason=reason, events=self.events_in_memory)
        waiting, self._in_flight = list(self._in_flight.values()), {}
        self._lane.abandon()
        self._to_disk.extendleft(reversed(waiting))
        self._drainer = Drainer(self._log, self._disk, self._new_lane)
        self._draining = asyncio.get_running_loop().create_task(self._drain(self._drainer))
        self._write_on()

    def _write_on(self) -> None:
        if not self._writing and self._to_disk:
            self._writing = True
            asyncio.get_running_loop().create_task(self._write())

    async def _write(self) -> None:
        """Group commit: what gathered while the disk was busy is written at once."""
        assert self._log is not None
        loop = asyncio.get_running_loop()
        while self._to_disk:
            group = [self._to_disk.popleft() for _ in range(min(len(self._to_disk), APPEND_BATCHES))]
            error: UnavailableError | None = None
            try:
                await loop.run_in_executor(self._disk, self._log.append, [batch.records for batch in group])
                self.spilled_events += sum(len(batch.records) for batch in group)
            except OverflowFullError as reason:
                error = UnavailableError(str(reason), retry_after_s=RETRY_AFTER_S)
            for batch in group:
                self._release(batch)
                _finish(batch, error)
        self._writing = False

    async def _drain(self, drainer: Drainer) -> None:
        started = time.monotonic()
        lane = await drainer.run(lambda: not self._to_disk and not self._writing)
        lane.redirect(self._delivered)
        self._lane, self._drainer = lane, None
        self._drained_before += drainer.drained_events
        self.refused_events += drainer.refused_events
        log_event("direct", drained_events=drainer.drained_events, after_s=round(time.monotonic() - started, 1))


def _finish(batch: Batch, error: Exception | None) -> None:
    done = batch.done
    if done is None or done.done():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
