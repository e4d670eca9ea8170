"""Sends the overflow log to Kafka from its front, in order, with a bounded window of unconfirmed batches."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor

from services.dispatcher.events import Sparingly, log_event
from services.gateway.kafka_lane import Batch, KafkaLane
from services.gateway.overflow import READ_BYTES, OverflowBusyError, OverflowLog, Position

READ_BATCHES = 200
WINDOW_BATCHES = 400
WINDOW_BYTES = 64 * 1024 * 1024
"""Of batches that are read and not confirmed; the last one read may go beyond it. The producer holds as much again."""
AGAIN_AFTER_S = 1.0
_IDLE_S = 0.05


class Drainer:
    """One drain. A batch is dropped from the log when every record of it is confirmed; whatever goes wrong before that is begun anew from the log."""

    def __init__(self, log: OverflowLog, disk: Executor, new_lane: Callable[[Callable[[Batch], None]], KafkaLane]) -> None:
        self._log, self._disk, self._new_lane = log, disk, new_lane
        self._moved = asyncio.Event()
        self._lane = self._open()
        self._sent: deque[tuple[Batch, Position]] = deque()
        self._after: Position | None = None
        self._confirmed: Position | None = None
        self._say_busy = Sparingly("overflow_busy")
        self.bytes_under_way = 0
        self.drained_events = 0
        self.refused_events = 0

    async def run(self, nothing_more: Callable[[], bool]) -> KafkaLane:
        """Returns the lane, idle, when the log is empty and `nothing_more` agrees; no await lies between that check and the return."""
        try:
            while True:
                read = await self._send_more()
                dropped = await self._drop_confirmed()
                if not read and not self._sent and self._log.events == 0 and nothing_more():
                    return self._lane
                if not read and not dropped:
                    self._moved.clear()
                    await self._wait()
                if self._lane.fatal is not None:
                    await self._begin_anew(self._lane.fatal)
        except asyncio.CancelledError:
            self._lane.abandon()
            raise

    def _open(self) -> KafkaLane:
        return self._new_lane(lambda _: self._moved.set())

    async def _send_more(self) -> bool:
        if WINDOW_BATCHES - len(self._sent) < READ_BATCHES or self.bytes_under_way >= WINDOW_BYTES:
            return False
        wanted = (self._after, READ_BATCHES, min(READ_BYTES, WINDOW_BYTES - self.bytes_under_way))
        try:
            stored = await asyncio.get_running_loop().run_in_executor(self._disk, self._log.read, *wanted)
        except OverflowBusyError as error:
            self._say_busy(error)
            return False
        for one in stored:
            batch = Batch(one.records, "", time.monotonic(), None)
            self._sent.append((batch, one.position))
            self._after = one.position
            self.bytes_under_way += batch.bytes
            try:
                self._lane.send(batch)
            except BufferError:
                await self._begin_anew("the producer's queue is full")
                return False
        return bool(stored)

    async def _drop_confirmed(self) -> bool:
        last: Position | None = None
        while self._sent and self._sent[0][0].left == 0:
            batch, position = self._sent[0]
            if batch.error is not None and not batch.refused_for_good:
                await self._begin_anew(batch.error)
                break
            if batch.error is not None:
                self.refused_events += len(batch.records)
                log_event("kafka_refused", events=len(batch.records), error=batch.error)
            self._sent.popleft()
            self.bytes_under_way -= batch.bytes
            self.drained_events += len(batch.records)
            last = position
        self._confirmed = last or self._confirmed
        if self._confirmed is None:
            return False
        try:
            await asyncio.get_running_loop().run_in_executor(self._disk, self._log.drop, self._confirmed)
        except OverflowBusyError as error:
            self._say_busy(error)
            return False
        self._confirmed = None
        return True

    async def _wait(self) -> None:
        try:
            await asyncio.wait_for(self._moved.wait(), _IDLE_S)
        except TimeoutError:
            return

    async def _begin_anew(self, reason: str) -> None:
        """What is not dropped is read again; the pause keeps a broker that refuses from being asked without end."""
        log_event("drain_begins_anew", reason=reason)
        self._lane.abandon()
        self._lane = self._open()
        self._sent.clear()
        self.bytes_under_way = 0
        self._after = None
        await asyncio.sleep(AGAIN_AFTER_S)
