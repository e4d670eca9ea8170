"""What stands before a receiver: its circuit breaker and its rate limit. Both make a queue wait, and lose nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pybreaker
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter

from services.dispatcher.errors import SendError
from services.dispatcher.events import log_event


@dataclass(frozen=True)
class BreakerPolicy:
    """After `failures` in a row a receiver is left alone for `open_s`; then one notification tries it, and `successes` close the circuit
    (specification, Fault Tolerance 2)."""

    failures: int = 5
    successes: int = 2
    open_s: float = 30.0


Waits = Callable[[str, float], Awaitable[None]]


async def _unsaid(_why: str, _wait_s: float) -> None:
    """Nobody is told."""


class Gates:
    """One gate a receiver. While its circuit is open nothing is sent to a receiver, and no attempt is used up."""

    def __init__(self, per_minute: Callable[[str], int] = lambda receiver: 0, policy: BreakerPolicy | None = None) -> None:
        self._per_minute = per_minute
        self._policy = policy or BreakerPolicy()
        self._breakers: dict[str, tuple[pybreaker.CircuitBreaker, pybreaker.CircuitMemoryStorage]] = {}
        self._limiter: MovingWindowRateLimiter | None = None

    async def passage(self, receiver: str, waits: Waits = _unsaid) -> None:
        """Returns when the receiver may be tried: its circuit is not open, and its messages of the last minute leave room for one.
        Before each wait, `waits` is told why and how many seconds."""
        while (wait_s := self._open_for_s(receiver)) > 0:
            await waits(f"the circuit of the receiver is open after {self._policy.failures} failures in a row", wait_s)
            await asyncio.sleep(self._open_for_s(receiver))
        limit = self._per_minute(receiver)
        if limit <= 0:
            return
        if self._limiter is None:
            self._limiter = MovingWindowRateLimiter(MemoryStorage())
        item = RateLimitItemPerMinute(limit)
        while not await self._limiter.hit(item, receiver):
            free_at_s, _ = await self._limiter.get_window_stats(item, receiver)
            wait_s = max(0.05, free_at_s - time.time())
            await waits(f"the rate limit of {limit} messages a minute", wait_s)
            await asyncio.sleep(wait_s)

    @contextmanager
    def attempt(self, receiver: str) -> Iterator[None]:
        """Around one attempt: what it raises, or not, moves the circuit. A refusal of one message, or a 429 that names a wait, is the
        answer of a healthy receiver."""
        with self._breaker(receiver)[0].calling():
            yield

    def open_circuits(self) -> list[str]:
        """Receivers that are left alone now."""
        return sorted(name for name in self._breakers if self._open_for_s(name) > 0)

    def _open_for_s(self, receiver: str) -> float:
        breaker, storage = self._breaker(receiver)
        if breaker.current_state != pybreaker.STATE_OPEN or storage.opened_at is None:
            return 0.0
        return self._policy.open_s - (datetime.now(UTC) - storage.opened_at).total_seconds()

    def _breaker(self, receiver: str) -> tuple[pybreaker.CircuitBreaker, pybreaker.CircuitMemoryStorage]:
        if receiver not in self._breakers:
            storage = pybreaker.CircuitMemoryStorage(pybreaker.STATE_CLOSED)
            breaker = pybreaker.CircuitBreaker(
                fail_max=self._policy.failures,
                reset_timeout=self._policy.open_s,
                success_threshold=self._policy.successes,
                exclude=[_answered],
                listeners=[_Log()],
                state_storage=storage,
                name=receiver,
                throw_new_error_on_trip=False,
            )
            self._breakers[receiver] = (breaker, storage)
        return self._breakers[receiver]


def _answered(error: Any) -> bool:
    if isinstance(error, SendError):
        return not error.retryable or error.retry_after_s is not None
    return not isinstance(error, Exception)


class _Log(pybreaker.CircuitBreakerListener):
    def state_change(self, cb: pybreaker.CircuitBreaker, old_state: Any, new_state: Any) -> None:
        log_event("circuit", receiver=cb.name, state=new_state.name)
