"""The ring: events that wait to be sent on, so many and no more. When it is full the oldest go, or the newest are not taken."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import Literal

from services.gateway.records import TooLargeError, UnavailableError

MAX_BYTES = 64 * 1024 * 1024
"""Of all events in the ring: a thousand of them may be large ones."""
RETRY_AFTER_S = 1.0


class Ring:
    """Raw events in the order of arrival. Those that are being sent keep their places until they are done or given back.

    `dropped_oldest` counts events that newer ones have pushed out, `dropped_newest` those that found no place (their sender was told).
    """

    def __init__(self, size: int, policy: Literal["oldest", "newest"] = "oldest", max_bytes: int = MAX_BYTES) -> None:
        self.size, self.policy, self.max_bytes = size, policy, max_bytes
        self.dropped_oldest = 0
        self.dropped_newest = 0
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._sending: list[tuple[float, bytes]] = []
        self._waiting_bytes = 0
        self._sending_bytes = 0
        self._changed = asyncio.Event()
        self._flush = False

    def __len__(self) -> int:
        return len(self._waiting) + len(self._sending)

    @property
    def size_bytes(self) -> int:
        """Bytes of the events."""
        return self._waiting_bytes + self._sending_bytes

    @property
    def full(self) -> bool:
        """Whether one more event would not find a place of its own."""
        return len(self) >= self.size or self.size_bytes >= self.max_bytes

    def put(self, events: Sequence[bytes]) -> None:
        """Takes events. With the policy `newest`: raises UnavailableError when they do not all find a place now, TooLargeError when they never would."""
        added = sum(map(len, events))
        if self.policy == "newest" and (len(self) + len(events) > self.size or self.size_bytes + added > self.max_bytes):
            self.dropped_newest += len(events)
            if len(events) > self.size or added > self.max_bytes:
                raise TooLargeError(f"expected at most {self.size:,} events and {self.max_bytes:,} bytes at once: the ring holds no more")
            raise UnavailableError("the ring is full: the centre takes no events at the moment", retry_after_s=RETRY_AFTER_S)
        now = time.monotonic()
        self._waiting.extend((now, event) for event in events)
        self._waiting_bytes += added
        self._push_out()
        self._changed.set()

    async def take(self, count: int, max_bytes: int, wait_s: float) -> list[bytes]:
        """The oldest events: as soon as there are `count` or `max_bytes` of them, or the oldest has waited for `wait_s`. One larger than that goes alone."""
        while True:
            self._changed.clear()
            timeout: float | None = None
            if self._waiting:
                left = self._waiting[0][0] + wait_s - time.monotonic()
                if self._flush or left <= 0 or len(self._waiting) >= count or self._waiting_bytes >= max_bytes:
                    return self._taken(count, max_bytes)
                timeout = left
            try:
                await asyncio.wait_for(self._changed.wait(), timeout)
            except TimeoutError:
                continue

    def done(self) -> None:
        """What was taken needs its places no more."""
        self._sending, self._sending_bytes = [], 0

    def give_back(self) -> None:
        """What was taken waits again, before everything else; it may be pushed out now."""
        self._waiting.extendleft(reversed(self._sending))
        self._waiting_bytes += self._sending_bytes
        self.done()
        self._push_out()
        self._changed.set()

    def resize(self, size: int, policy: Literal["oldest", "newest"]) -> None:
        """Other limits from now on."""
        self.size, self.policy = size, policy
        self._push_out()

    def flush(self) -> None:
        """From now on nothing waits for others."""
        self._flush = True
        self._changed.set()

    def _taken(self, count: int, max_bytes: int) -> list[bytes]:
        while self._waiting and len(self._sending) < count:
            following = len(self._waiting[0][1])
            if self._sending and self._sending_bytes + following > max_bytes:
                break
            self._sending.append(self._waiting.popleft())
            self._sending_bytes += following
        self._waiting_bytes -= self._sending_bytes
        return [event for _, event in self._sending]

    def _push_out(self) -> None:
        while self._waiting and (len(self) > self.size or self.size_bytes > self.max_bytes):
            self._waiting_bytes -= len(self._waiting.popleft()[1])
            self.dropped_oldest += 1
