"""Sends the ring's events on, a batch at a time and in their order.

While the gateway is away, asks to wait or does not let us in, events go back to the ring, which alone decides what is lost meanwhile. `maxAttempts` is for
a gateway that breaks over a batch: then that batch is given up, lest it hold up all others.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence

from sentinel.config.sidecar import SidecarRetry
from services.dispatcher.events import Sparingly, log_event
from services.gateway.settings import GatewaySettingsError
from services.sidecar.ring import Ring
from services.sidecar.senders import AwayError, BatchTooLargeError, RefusedError, Sender

LONGEST_WAIT_S = 300.0
"""A gateway may ask for patience until midnight (a quota); it is asked again before."""


class Forwarder:
    """Counts: `forwarded` events that the gateway took, `refused` ones that it will never take, `failed` ones that were given up, `batches`, `retries`."""

    def __init__(self, ring: Ring, sender: Sender, retry: SidecarRetry, batch_size: int, batch_wait_s: float) -> None:
        self._ring, self._sender = ring, sender
        self.retry, self.batch_size, self.batch_wait_s = retry, batch_size, batch_wait_s
        self.forwarded = self.refused = self.failed = self.left = self.batches = self.retries = 0
        self.trouble: str | None = None
        """Why nothing is taken at the moment; None while the gateway takes events."""
        self.last_success: float | None = None
        self._max_bytes = sender.max_batch_bytes
        self._stopping = asyncio.Event()
        self._away, self._told = Sparingly("centre_away"), Sparingly("events_refused")
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Sends from now on."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self, grace_s: float) -> None:
        """Sends what waits, for at most `grace_s`; the rest is counted as `left`."""
        self._ring.flush()
        until = time.monotonic() + grace_s
        while len(self._ring) and self.trouble is None and time.monotonic() < until:
            await asyncio.sleep(0.01)
        self._stopping.set()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._sender.close()
        self.left = len(self._ring)

    async def _run(self) -> None:
        failures = attempt = 0
        # Asked for, too: gRPC may turn a cancellation into an error of its call.
        while not self._stopping.is_set():
            events = await self._ring.take(self.batch_size, self._max_bytes, self.batch_wait_s)
            try:
                await self._deliver(events)
            except (AwayError, GatewaySettingsError) as error:
                self._ring.give_back()
                self.trouble = str(error)
                self._away(error)
                failures += 1
                asked_s = getattr(error, "retry_after_s", None)
                await self._pause(self._backoff_s(failures) if asked_s is None else min(asked_s, LONGEST_WAIT_S))
            except BatchTooLargeError:
                self._ring.give_back()
            except Exception as error:
                # FailedError, or a fault of our own: either way it must not keep the others from being sent.
                attempt += 1
                if not self.retry.enabled or attempt >= self.retry.max_attempts:
                    log_event("batch_given_up", events=len(events), attempts=attempt, error=f"{type(error).__name__}: {error}"[:500])
                    self.failed += len(events)
                    self._ring.done()
                    failures = attempt = 0
                else:
                    self._ring.give_back()
                    await self._pause(self._backoff_s(attempt))
            else:
                self._ring.done()
                failures = attempt = 0

    async def _deliver(self, events: Sequence[bytes]) -> None:
        try:
            accepted, refused = await self._sender.send(events)
        except BatchTooLargeError as error:
            if len(events) > 1:
                self._max_bytes = sum(map(len, events)) // 2
                raise
            self._refuse(1, "$", str(error))
            return
        except RefusedError as error:
            self._refuse(len(events), "$", str(error))
            return
        if self.trouble is not None:
            log_event("centre_back")
        self.trouble, self.last_success = None, time.monotonic()
        self.batches += 1
        self.forwarded += accepted
        if accepted < len(events):
            first = refused[0] if refused else None
            self._refuse(len(events) - accepted, first.field if first else "$", first.reason if first else "no reason given")

    def _refuse(self, events: int, field: str, reason: str) -> None:
        self.refused += events
        self._told(f"{events} refused, the first: {field}: {reason}")

    def _backoff_s(self, failures: int) -> float:
        first, longest = self.retry.initial_backoff, self.retry.max_backoff
        pause = first if self.retry.backoff == "fixed" else first * 2 ** min(failures - 1, 30)
        # Not all sidecars at once.
        return min(pause, longest) * random.uniform(0.8, 1.2)

    async def _pause(self, seconds: float) -> None:
        self.retries += 1
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return
