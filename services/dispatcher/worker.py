"""The queue of one receiver (one partition of its topic): in order, and on its own, so that no receiver delays another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from services.dispatcher.delivery import Outcome, Record
from services.dispatcher.events import log_event

Deliver = Callable[[Record], Awaitable[Outcome]]

FAULT_WAIT_S = 5.0


class Worker:
    """Delivers the records of one partition one after another; `next_offset` is what may be committed.

    The queue itself takes everything: the Kafka loop bounds it by pausing the partition at `HIGH` and resuming at `LOW`.
    """

    HIGH = 100
    LOW = 20

    def __init__(self, deliver: Deliver) -> None:
        self._deliver = deliver
        self._queue: asyncio.Queue[Record] = asyncio.Queue()
        self._task = asyncio.create_task(self._run())
        self.next_offset: int | None = None
        self.outcomes: dict[Outcome, int] = dict.fromkeys(Outcome, 0)

    @property
    def backlog(self) -> int:
        """Records that wait."""
        return self._queue.qsize()

    def put(self, record: Record) -> None:
        self._queue.put_nowait(record)

    async def stop(self) -> None:
        """Ends the worker: waits are cut short, a send under way ends first. What was not delivered stays uncommitted."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        while True:
            record = await self._queue.get()
            outcome = await self._until_settled(record)
            self.outcomes[outcome] += 1
            self.next_offset = record.offset + 1

    async def _until_settled(self, record: Record) -> Outcome:
        while True:
            try:
                return await self._deliver(record)
            except Exception as error:
                # Settling failed outside the receiver (ledger, dead-letter topic): the record must not be passed over.
                log_event("fault", topic=record.topic, offset=record.offset, error=f"{type(error).__name__}: {error}")
                await asyncio.sleep(FAULT_WAIT_S)
