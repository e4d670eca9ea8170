"""The tested window: a sliding sum of the last seconds, or an exponentially weighted one. Both forget by event time."""

from __future__ import annotations

from collections import deque
from typing import Any

from sentinel.detection.metrics import Sample

SAMPLE_EVENTS = 3


class SlidingWindow:
    """Exact sums of the panes of the last `length_ms`; integers only, so that adding and taking away leaves no trace."""

    __slots__ = ("count", "end_ms", "length_ms", "log_sum", "log_sumsq", "slots", "total")

    def __init__(self, length_ms: int, slots: list[Any] | None = None) -> None:
        self.length_ms = length_ms
        self.slots: deque[tuple[int, Sample]] = deque()
        self.count = self.log_sum = self.log_sumsq = self.total = self.end_ms = 0
        for start_ms, end_ms, sample in slots or []:
            self.push(start_ms, end_ms, Sample(*sample))

    def push(self, start_ms: int, end_ms: int, sample: Sample) -> None:
        slots = self.slots
        slots.append((start_ms, sample))
        self.count += sample.calls
        self.log_sum += sample.log_sum
        self.log_sumsq += sample.log_sumsq
        self.total += sample.total
        self.end_ms = end_ms
        oldest = end_ms - self.length_ms
        while slots[0][0] < oldest:
            gone = slots.popleft()[1]
            self.count -= gone.calls
            self.log_sum -= gone.log_sum
            self.log_sumsq -= gone.log_sumsq
            self.total -= gone.total

    @property
    def start_ms(self) -> int:
        """Start of the window: of its first pane, or the whole length back."""
        first: int = self.slots[0][0] if self.slots else 0
        return max(first, self.end_ms - self.length_ms)

    def samples(self) -> list[str]:
        """Event ids behind the largest values, largest first; without values the first events."""
        ranked = sorted((sample for _, sample in self.slots if sample.event and sample.calls), key=lambda s: (-s.peak, s.event))
        return list(dict.fromkeys(sample.event for sample in ranked))[:SAMPLE_EVENTS]

    def to_state(self) -> list[Any]:
        last = len(self.slots) - 1
        # Only the end of the newest slot matters; older ends lie inside the window whatever they are.
        return [(start, self.end_ms if index == last else start, sample) for index, (start, sample) in enumerate(self.slots)]


class DecayingWindow:
    """Exponentially weighted sums with a half-life of `length_ms` (EWMA; Roberts 1959).

    `count` is the number of calls that an unweighted mean of the same precision would hold (Kish's effective sample size); the other
    sums are scaled to it, and for rates `total` to one window length.
    """

    __slots__ = ("_log_sum", "_square", "_total", "_weight", "count", "end_ms", "length_ms", "log_sum", "rate", "recent", "total")

    def __init__(self, length_ms: int, rate: bool, state: list[Any] | None = None) -> None:
        self.length_ms, self.rate = length_ms, rate
        sums: tuple[float, float, float, float, int] = state[0] if state else (0.0, 0.0, 0.0, 0.0, 0)
        self._weight, self._square, self._log_sum, self._total, self.end_ms = sums
        self.recent: deque[tuple[int, Sample]] = deque(((start, Sample(*s)) for start, s in (state[1] if state else [])), SAMPLE_EVENTS)
        self.count = self.log_sum = self.total = 0.0
        self._scale()

    def push(self, start_ms: int, end_ms: int, sample: Sample) -> None:
        fade = 0.5 ** ((end_ms - self.end_ms) / self.length_ms) if self.end_ms else 0.0
        self._weight = self._weight * fade + sample.calls
        self._square = self._square * fade * fade + sample.calls
        self._log_sum = self._log_sum * fade + sample.log_sum
        self._total = self._total * fade + sample.total
        self.end_ms = end_ms
        self.recent.append((start_ms, sample))
        self._scale()

    def _scale(self) -> None:
        if self._square <= 0.0:
            self.count = self.log_sum = self.total = 0.0
            return
        shrink = self._weight / self._square
        self.count = self._weight * shrink
        self.log_sum = self._log_sum * shrink
        # The weights of a steady stream add up to length / ln 2; times ln 2 makes it one window length.
        self.total = self._total * 0.6931471805599453 if self.rate else self._total * shrink

    @property
    def start_ms(self) -> int:
        return self.end_ms - 2 * self.length_ms

    def samples(self) -> list[str]:
        ranked = sorted((sample for _, sample in self.recent if sample.event and sample.calls), key=lambda s: (-s.peak, s.event))
        return list(dict.fromkeys(sample.event for sample in ranked))

    def to_state(self) -> list[Any]:
        return [(self._weight, self._square, self._log_sum, self._total, self.end_ms), list(self.recent)]
