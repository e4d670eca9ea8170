"""The background: a bounded queue and one thread that sends it in batches and tries again.

An event keeps its id through every try, so that what arrives twice is known as one.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from llm_sentinel_client.transport import TIMEOUT_S, Answer, Transport, Verdict

BATCH_EVENTS = 100
BATCH_BYTES = 900_000
"""The gateway takes bodies of 1 MB."""
_FIRST_WAIT_S, _MOST_WAIT_S = 0.5, 30.0
_LOG_EVERY_S = 60.0
_log = logging.getLogger("llm_sentinel_client")


class Counts(NamedTuple):
    """Events so far: taken by the gateway, refused by it, dropped here (the queue was full, or the process ended), waiting."""

    sent: int
    refused: int
    dropped: int
    waiting: int


class Sender:
    """`add` never blocks and never raises; the oldest events go when more than `most_waiting` wait."""

    def __init__(self, transport: Transport, most_waiting: int, interval_s: float) -> None:
        self._transport, self._most_waiting, self._interval_s = transport, most_waiting, interval_s
        self._closed = False
        self._logged_s = float("-inf")
        self._sent = self._refused = self._dropped = 0
        self._reset()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_forgetting(weakref.ref(self)))

    def _reset(self) -> None:
        """Also in a forked child: threads do not live on there, and what waits is the parent's to send."""
        self._queue: deque[bytes] = deque()
        self._in_flight = 0
        self._changed = threading.Condition()
        self._flushing = 0
        self._thread: threading.Thread | None = None

    def add(self, event: bytes) -> None:
        with self._changed:
            if self._closed:
                self._dropped += 1
                return
            if len(self._queue) >= self._most_waiting:
                self._queue.popleft()
                self._dropped += 1
                self._say("the queue is full: the oldest events are dropped")
            self._queue.append(event)
            if self._thread is None:
                self._start()
            if len(self._queue) >= BATCH_EVENTS:
                self._changed.notify_all()

    def flush(self, timeout_s: float) -> bool:
        """Waits until nothing is left to send; False when the time was not enough."""
        until = time.monotonic() + timeout_s
        with self._changed:
            if self._thread is None and self._queue:
                self._start()
            self._flushing += 1
            self._changed.notify_all()
            try:
                while self._queue or self._in_flight:
                    left = until - time.monotonic()
                    if left <= 0 or self._thread is None:
                        return False
                    self._changed.wait(min(left, 0.5))
                return True
            finally:
                self._flushing -= 1

    def close(self, timeout_s: float) -> None:
        """Flushes, then ends the thread; what is left is counted as dropped."""
        if self._closed:
            return
        self.flush(timeout_s)
        with self._changed:
            self._closed = True
            left = len(self._queue) + self._in_flight
            self._dropped += left
            self._queue.clear()
            self._changed.notify_all()
        if left:
            _log.warning("%d events were not sent before the end", left)

    def counts(self) -> Counts:
        with self._changed:
            return Counts(self._sent, self._refused, self._dropped, len(self._queue) + self._in_flight)

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="llm-sentinel-client", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # the interpreter is ending
            self._thread = None

    def _run(self) -> None:
        while True:
            batch = self._next()
            if batch is None:
                return
            self._deliver(batch)
            with self._changed:
                self._in_flight = 0
                self._changed.notify_all()

    def _next(self) -> list[bytes] | None:
        """The next batch: when it is full, when the interval is over, or when somebody flushes. None at the end."""
        with self._changed:
            while not self._queue:
                if self._closed:
                    return None
                self._changed.wait()
            until = time.monotonic() + self._interval_s
            while len(self._queue) < BATCH_EVENTS and not self._flushing and not self._closed:
                left = until - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            batch: list[bytes] = []
            size = 0
            while self._queue and len(batch) < BATCH_EVENTS and (not batch or size + len(self._queue[0]) < BATCH_BYTES):
                batch.append(self._queue.popleft())
                size += len(batch[-1]) + 1
            self._in_flight = len(batch)
            return batch

    def _deliver(self, batch: list[bytes]) -> None:
        wait_s = _FIRST_WAIT_S
        while batch and not self._closed:
            answer = self._transport.send(batch, TIMEOUT_S)
            if answer.verdict is Verdict.AGAIN:
                self._say(f"{answer.why}; trying again")
                # Spread, so that the processes of an application do not come back all at once.
                self._pause(answer.wait_s if answer.wait_s is not None else wait_s * random.uniform(0.5, 1.0))
                wait_s = min(wait_s * 2, _MOST_WAIT_S)
            elif answer.verdict is Verdict.SPLIT:
                self._deliver(batch[: len(batch) // 2])
                batch = batch[len(batch) // 2 :]
            else:
                self._count(batch, answer)
                return

    def _count(self, batch: list[bytes], answer: Answer) -> None:
        with self._changed:
            if self._closed:  # given up by `close`, and counted there
                return
            self._in_flight -= len(batch)
            self._sent += len(batch) - answer.refused
            self._refused += answer.refused
        if answer.why:
            self._say(f"{answer.refused} events were refused: {answer.why}")

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        with self._changed:
            while not self._closed and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)

    def _say(self, text: str) -> None:
        now_s = time.monotonic()
        if now_s - self._logged_s >= _LOG_EVERY_S:
            self._logged_s = now_s
            _log.warning("telemetry to %s: %s", self._transport.url, text)


def _forgetting(sender: weakref.ref[Sender]) -> Callable[[], None]:
    def after_fork() -> None:
        found = sender()
        if found is not None:
            found._reset()

    return after_fork
