"""Event time of replayed traffic: moving old traces to now, and keeping absurd stamps from moving the clock of everything else."""

from __future__ import annotations

import math
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from services.traffic.timed import TimedStream, with_time

DAY_MS = 86_400_000
PAST_LIMIT_MS = 7 * DAY_MS
FUTURE_LIMIT_MS = 5 * 60_000
MAX_SPEED = math.inf


def now_ms() -> int:
    """The wall clock in epoch milliseconds."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class TimeRange:
    """Event times of a file. `first_ms` and `last_ms` bound the plausible ones; beyond [low_ms, high_ms] are absurd ones (1970, 2100)."""

    first_ms: int
    last_ms: int
    low_ms: int
    high_ms: int
    records: int

    @property
    def span_ms(self) -> int:
        return self.last_ms - self.first_ms


def time_range(stream: TimedStream) -> TimeRange:
    """Read the whole stream once. Plausible = within a week (or twice the spread of the middle 90 %) of the middle 90 % of the stamps."""
    stamps = array("q")
    records = 0
    for timed in stream:
        records += 1
        if timed.event is not None:
            stamps.append(timed.ts_ms)
    values = np.frombuffer(stamps, dtype=np.int64)
    if len(values) == 0:
        raise ValueError("expected at least one event with a readable time, found none")
    q05, q95 = np.quantile(values, [0.05, 0.95], method="nearest").tolist()
    margin = max(PAST_LIMIT_MS, 2 * (q95 - q05))
    plausible = values[(values >= q05 - margin) & (values <= q95 + margin)]
    return TimeRange(int(plausible.min()), int(plausible.max()), q05 - margin, q95 + margin, records)


def shift_to_now(times: TimeRange, speed: float, now: int) -> int:
    """Milliseconds to add to every event time, so that nothing lies in the future when it is sent: at speed 1 the first event is now, at
    `max` the last one is, and in between the last one is now when it is sent."""
    replay_ms = 0.0 if speed == MAX_SPEED else times.span_ms / speed
    return round(now + replay_ms) - times.last_ms


def rebased(stream: TimedStream, times: TimeRange, shift_ms: int) -> TimedStream:
    """The stream moved by `shift_ms`, bodies included. A record with an absurd stamp keeps its body and travels with the time of the record
    before it, so that one broken clock does not make all later events late."""
    last = times.first_ms + shift_ms
    for timed in stream:
        if timed.event is not None and times.low_ms <= timed.ts_ms <= times.high_ms:
            last = timed.ts_ms + shift_ms
            yield with_time(timed, last) if shift_ms else timed
        else:
            yield timed._replace(ts_ms=last)


def clamp_ms(ts_ms: int, now: int) -> int:
    """Kafka record time of an event: its time, held within [now - 7 d, now + 5 min] as our doors do."""
    return min(max(ts_ms, now - PAST_LIMIT_MS), now + FUTURE_LIMIT_MS)


def paced(
    stream: TimedStream,
    first_ms: int,
    speed: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> TimedStream:
    """Hold each event back until its turn at `speed` times real time; events out of order are not held back, `max` holds back none."""
    begin = clock()
    for timed in stream:
        if speed != MAX_SPEED:
            wait = begin + (timed.ts_ms - first_ms) / 1000.0 / speed - clock()
            if wait > 0:
                sleep(wait)
        yield timed
