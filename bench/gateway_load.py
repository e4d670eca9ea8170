"""Clients of the gateway that keep a pace and send every batch until it is acknowledged, as an application that must not lose an event does.

Each client is a tenant with five applications and one connection: it sends its batches one after the other, the same bytes and event ids again after a
refusal. What is due while it waits is sent when it is its turn. The last twelve hex digits of an event id are the event's number.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from typing import NamedTuple

import httpx

from services.traffic.bulk import APPLICATIONS_PER_TENANT, MODELS, bulk_events

CLIENTS = 8
BATCH = 100
EVENT_BYTES = 900
TICK_S = 0.02
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0
_ID = slice(len('{"event_id":"'), len('{"event_id":"') + 36)


class Acknowledged(NamedTuple):
    """One batch: when it was complete and when it was acknowledged (monotonic seconds), and the ids of its events."""

    due_s: float
    at_s: float
    event_ids: list[str]


class _Batch(NamedTuple):
    due_s: float
    values: list[bytes]


class Load(threading.Thread):
    """Sends `rate` events a second for `seconds`, and ends when everything is acknowledged. `failure` says what ended it before."""

    def __init__(self, url: str, rate: float, seconds: float) -> None:
        super().__init__(daemon=True)
        self._url, self._rate, self._seconds = f"{url}/api/v1/telemetry/events", rate, seconds
        self.acknowledged: list[Acknowledged] = []
        self.events_acknowledged = 0
        self.tried_again: Counter[str] = Counter()
        self.failure: BaseException | None = None
        self.began_s = 0.0

    def run(self) -> None:
        """The thread."""
        try:
            asyncio.run(self._run())
        except BaseException as error:
            self.failure = error

    def finish(self, timeout_s: float) -> None:
        """Waits for the end. Raises RuntimeError when it failed or takes longer."""
        self.join(timeout_s)
        if self.is_alive() or self.failure is not None:
            raise RuntimeError("the clients are not done" if self.is_alive() else f"a client failed: {self.failure!r}") from self.failure

    async def _run(self) -> None:
        queues: list[asyncio.Queue[_Batch | None]] = [asyncio.Queue() for _ in range(CLIENTS)]
        async with asyncio.TaskGroup() as group:
            for queue in queues:
                group.create_task(self._send_all(queue))
            group.create_task(self._make(queues))

    async def _make(self, queues: list[asyncio.Queue[_Batch | None]]) -> None:
        """Hands out events as they become due."""
        keys, total = CLIENTS * APPLICATIONS_PER_TENANT * MODELS, round(self._rate * self._seconds)
        events = bulk_events(total, keys=keys, event_bytes=EVENT_BYTES, start_ms=time.time_ns() // 1_000_000, rate=self._rate)
        clients: dict[bytes, int] = {}
        pending: list[list[bytes]] = [[] for _ in queues]
        self.began_s = time.monotonic()
        for number, (_, key, value) in enumerate(events):
            due_s = self.began_s + number / self._rate
            if due_s > time.monotonic() + TICK_S:
                await asyncio.sleep(due_s - time.monotonic())
            client = clients.setdefault(key.partition(b"|")[0], len(clients))
            pending[client].append(value)
            if len(pending[client]) == BATCH:
                queues[client].put_nowait(_Batch(min(due_s, time.monotonic()), pending[client]))
                pending[client] = []
        for queue, values in zip(queues, pending, strict=True):
            if values:
                queue.put_nowait(_Batch(time.monotonic(), values))
            queue.put_nowait(None)

    async def _send_all(self, queue: asyncio.Queue[_Batch | None]) -> None:
        async with httpx.AsyncClient(timeout=30) as client:
            while (batch := await queue.get()) is not None:
                body, pause_s = b"\n".join(batch.values), FIRST_PAUSE_S
                while (wait_s := await self._refused(client, body)) is not None:
                    await asyncio.sleep(wait_s or pause_s)
                    pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                self.acknowledged.append(Acknowledged(batch.due_s, time.monotonic(), [value[_ID].decode() for value in batch.values]))
                self.events_acknowledged += len(batch.values)

    async def _refused(self, client: httpx.AsyncClient, body: bytes) -> float | None:
        """None when the batch is acknowledged, else the seconds that the gateway names (0: none). Raises RuntimeError when trying again cannot help."""
        try:
            answer = await client.post(self._url, content=body, headers={"content-type": "application/x-ndjson"})
        except httpx.HTTPError as error:
            self.tried_again[type(error).__name__] += 1
            return 0.0
        if answer.status_code == 202:
            return None
        if answer.status_code not in (429, 503):
            raise RuntimeError(f"the gateway answered {answer.status_code}: {answer.text[:300]}")
        self.tried_again[str(answer.status_code)] += 1
        return float(answer.headers["retry-after"])
