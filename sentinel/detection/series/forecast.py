"""One-step forecasts of a series, and the choice of the one that has been nearest so far (prediction with expert advice)."""

from __future__ import annotations

import math
from typing import Any

DAY_MS = 86_400_000
BINS = 48
"""Bins of the daily profile: half an hour each."""
FAST_ROWS = 12
SLOW_ROWS = 288
PROFILE_DAYS = 5.0
LEARNING_ROWS = 20
ERROR_FADE = 0.002


class BestForecast:
    """Five forecasts run side by side: the last value, a fast and a slow moving average, the usual value of this time of day, and that
    plus today's offset. The residual is taken from the one with the smallest squared error lately; residuals are known before the value
    is learned."""

    __slots__ = ("_errors", "_fast", "_interval_ms", "_last", "_last_ms", "_offset", "_profile", "_rows", "_slow", "_visits")

    def __init__(self) -> None:
        self._rows = self._last_ms = 0
        self._last = self._fast = self._slow = self._offset = self._interval_ms = 0.0
        self._errors = [0.0] * 5
        self._profile: list[float] = [0.0] * BINS
        self._visits = [0] * BINS

    def residual(self, time_ms: int, value: float) -> tuple[float, float]:
        """(value - forecast, forecast). Learns the value."""
        rows, place = self._rows, time_ms % DAY_MS * BINS // DAY_MS
        if rows == 0:
            self._last = self._fast = self._slow = value
        else:
            self._interval_ms += (max(0, time_ms - self._last_ms) - self._interval_ms) / min(rows, 100)
        visits = self._visits[place]
        usual = self._profile[place] if visits else self._slow
        forecasts = (self._last, self._fast, self._slow, usual, usual + self._offset)
        candidates = 5 if visits else 3
        errors = self._errors
        choice = min(range(candidates), key=errors.__getitem__) if rows > LEARNING_ROWS else 0
        forecast = forecasts[choice]
        share = max(ERROR_FADE, 1.0 / (rows + 1))
        for index, candidate in enumerate(forecasts):
            miss = value - candidate
            errors[index] += (miss * miss - errors[index]) * share
        self._fast += (value - self._fast) * (2.0 / (FAST_ROWS + 1))
        self._slow += (value - self._slow) * (2.0 / (SLOW_ROWS + 1))
        if visits:
            self._offset += (value - usual - self._offset) * (2.0 / (FAST_ROWS + 1))
            a_bin = max(1.0, DAY_MS / BINS / self._interval_ms) if self._interval_ms > 0.0 else 1.0
            self._profile[place] += (value - usual) * max(1.0 / (visits + 1.0), 1.0 / (PROFILE_DAYS * a_bin))
        else:
            self._profile[place] = value
        self._visits[place] = visits + 1
        self._last, self._last_ms, self._rows = value, time_ms, rows + 1
        return value - forecast, forecast

    def to_state(self) -> list[Any]:
        sums = [self._last, self._fast, self._slow, self._offset, self._interval_ms]
        return [self._rows, self._last_ms, sums, self._errors, self._profile, self._visits]

    def from_state(self, state: Any) -> None:
        self._rows, self._last_ms, sums, errors, profile, visits = state
        self._last, self._fast, self._slow, self._offset, self._interval_ms = sums
        self._errors, self._profile, self._visits = list(errors), list(profile), list(visits)


BUCKETS = 96
PER_OCTAVE = 8
LOWEST = 2.0**-4
TAIL_SHARE = 0.01
TAIL_ROWS = 20
FORGET_ROWS = 10_000


class TailRatio:
    """A magnitude as a multiple of its own tail percentile: the 99th, later the one that `TAIL_ROWS` rows of all so far lay beyond.

    The longer a series is known, the rarer something must be to be news: else false alarms would come at a constant rate for ever. The
    percentile comes from a histogram with 8 buckets an octave, halved now and then so that it forgets.
    """

    __slots__ = ("_counts", "_rows", "_total")

    def __init__(self) -> None:
        self._rows = self._total = 0
        self._counts = [0] * BUCKETS

    def ratio(self, magnitude: float) -> float:
        """The magnitude over the percentile of what came before, 0 as long as that is unknown. Learns the magnitude."""
        found = 0.0
        counts = self._counts
        if self._total:
            beyond, seen, above, bucket = self._total * min(TAIL_SHARE, TAIL_ROWS / (self._rows + 1)), 0, 0, BUCKETS
            while seen <= beyond and bucket > 0:
                bucket -= 1
                above, seen = seen, seen + counts[bucket]
            # Log-linear inside the bucket.
            inner = 1.0 - (beyond - above) / counts[bucket] if counts[bucket] else 0.0
            found = magnitude / (LOWEST * 2.0 ** ((bucket + inner) / PER_OCTAVE))
        place = int(math.log2(magnitude / LOWEST) * PER_OCTAVE) if magnitude > LOWEST else 0
        counts[min(BUCKETS - 1, place)] += 1
        self._rows += 1
        self._total += 1
        if self._total >= FORGET_ROWS:
            # Rounded up: what happened once is remembered for long.
            self._counts = [(count + 1) // 2 for count in counts]
            self._total = sum(self._counts)
        return found

    def to_state(self) -> list[Any]:
        first = next((bucket for bucket, count in enumerate(self._counts) if count), 0)
        last = next((bucket for bucket in range(BUCKETS, 0, -1) if self._counts[bucket - 1]), first)
        return [self._rows, first, self._counts[first:last]]

    def from_state(self, state: Any) -> None:
        self._rows, first, counts = state
        self._counts = [*[0] * first, *counts, *[0] * (BUCKETS - first - len(counts))]
        self._total = sum(self._counts)
