"""Arithmetic of the bench, without any I/O."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

WINDOW = (0.2, 0.9)
"""The part of the topic that counts as steady: start-up and the last, half-empty batches are outside."""


class Steady(NamedTuple):
    """Events per second between the two shares of the topic, and the times (epoch seconds) at which they were reached."""

    rate: float
    begin_s: float
    end_s: float


class Outliers(NamedTuple):
    """What was found against what was planted."""

    planted: int
    found: int
    missed: list[str]
    extra: list[str]

    @property
    def same(self) -> bool:
        """Whether exactly the planted ones were found."""
        return not self.missed and not self.extra


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest-rank percentile (`share` in 0..1): a value that occurred. Raises ValueError when there is none."""
    if not values:
        raise ValueError("percentile: expected at least one value, found none")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def summary(values: Sequence[float]) -> dict[str, float | int]:
    """count, p50, p99 and maximum; only the count when nothing was measured."""
    if not values:
        return {"count": 0}
    return {"count": len(values), "p50": percentile(values, 0.5), "p99": percentile(values, 0.99), "max": max(values)}


def interpolate(samples: Sequence[tuple[float, float]], at: float) -> float:
    """The value at `at` on the broken line through (x, y) samples of rising x; beyond the ends, the end's value."""
    if not samples:
        raise ValueError("interpolate: expected at least one sample, found none")
    before = samples[0]
    for sample in samples:
        if sample[0] >= at:
            span = sample[0] - before[0]
            return sample[1] if span <= 0 else before[1] + (sample[1] - before[1]) * (at - before[0]) / span
        before = sample
    return before[1]


def steady(progress: Sequence[tuple[float, int]], total: int, window: tuple[float, float] = WINDOW) -> Steady:
    """The rate inside the window from (epoch seconds, events so far) samples; between samples progress counts as even.

    Raises ValueError when the samples do not reach the window's end.
    """
    rising = _rising(progress)
    if not rising or rising[-1][1] < window[1] * total:
        raise ValueError(f"steady: {rising[-1][1] if rising else 0:,} of {total:,} events seen; the window ends at {window[1]:.0%}")
    by_count = [(float(count), time_s) for time_s, count in rising]
    begin, end = interpolate(by_count, window[0] * total), interpolate(by_count, window[1] * total)
    if end <= begin:
        raise ValueError(f"steady: one sample covers the whole window; {total:,} events are too few to see a rate")
    return Steady((window[1] - window[0]) * total / (end - begin), begin, end)


def expected(progress: Sequence[tuple[float, int]], now_s: float) -> float:
    """Events that will have been taken by `now_s`, should the rate of the last two samples have held; before there are three, only what is known."""
    if len(progress) < 3:
        return float(progress[-1][1]) if progress else 0.0
    (before_s, before), (last_s, last) = progress[-2:]
    return last + (last - before) * (now_s - last_s) / (last_s - before_s) if last_s > before_s else float(last)


def _rising(progress: Sequence[tuple[float, int]]) -> list[tuple[float, int]]:
    """The last sample before the first event (that is where counting starts), and every one that moved on."""
    kept: list[tuple[float, int]] = []
    for sample in sorted(progress):
        if kept and sample[1] <= kept[-1][1]:
            if sample[1] == 0:
                kept[-1] = sample
            continue
        kept.append(sample)
    return kept


def merged_progress(lines: Iterable[tuple[float, object, int]]) -> list[tuple[float, int]]:
    """Progress of all processes together from (time, process, events of that process) samples."""
    latest: dict[object, int] = {}
    total: list[tuple[float, int]] = []
    for time_s, process, count in sorted(lines, key=lambda line: line[0]):
        latest[process] = count
        total.append((time_s, sum(latest.values())))
    return total


def last_event_s(progress: Sequence[tuple[float, int]]) -> float:
    """When the last event was counted, from rising (epoch seconds, events so far) samples: an engine that waits for more events says the same
    count for some time. Raises ValueError when there is none."""
    if not progress:
        raise ValueError("last_event_s: expected at least one sample, found none")
    return min(at for at, count in progress if count == progress[-1][1])


def compare_outliers(planted: Collection[str], found: Iterable[str], learning: Collection[str] = ()) -> Outliers:
    """`learning`: planted while the baselines were still learning; to find or to miss them is both right."""
    seen = set(found)
    missed, extra = sorted(set(planted) - seen), sorted(seen - set(planted) - set(learning))
    return Outliers(len(set(planted)), len(seen & set(planted)), missed, extra)
