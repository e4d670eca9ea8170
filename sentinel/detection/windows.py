"""The tested window: a sliding sum of the last seconds, or an exponentially weighted one. Both forget by event time.

Detectors of one key that test the same metric over the same length share one window (see `sharing.share_windows`): whoever comes first to a pane pushes it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from sentinel.detection.metrics import Sample
from sentinel.panes import Pane

SAMPLE_EVENTS = 3


class SlidingWindow:
    """Exact sums of the panes of the last `length_ms`; integers only, so that adding and taking away leaves no trace."""

    __slots__ = ("_counted", "buckets", "count", "end_ms", "latest", "length_ms", "log_sum", "log_sumsq", "pane", "slots", "total")

    def __init__(self, length_ms: int) -> None:
        self.length_ms = length_ms
        self.pane: Pane | None = None
        self.latest: Sample | None = None
        self.buckets: list[tuple[int, int]] = []
        self._counted: Pane | None = None
        self.slots: deque[tuple[int, Sample]] = deque()
        self.count = self.log_sum = self.log_sumsq = self.total = self.end_ms = 0

    def restore(self, state: list[Any]) -> None:
        """Take over what `to_state` gave."""
        self.slots.clear()
        self.count = self.log_sum = self.log_sumsq = self.total = self.end_ms = 0
        for start_ms, end_ms, sample in state:
            self.push(start_ms, end_ms, Sample(*sample))

    def take(self, pane: Pane, extract: Callable[[Pane], Sample]) -> Sample:
        """The pane's sample, pushed unless a detector that shares the window has done so."""
        if pane is not self.pane or self.latest is None:
            self.pane, self.latest = pane, extract(pane)
            self.push(pane.start_ms, pane.start_ms + pane.width_ms, self.latest)
        return self.latest

    def buckets_of(self, pane: Pane) -> list[tuple[int, int]]:
        """The pane's latency buckets that hold a call, with their counts."""
        if pane is not self._counted:
            self._counted = pane
            self.buckets = [(bucket, count) for bucket, count in enumerate(pane.latency_hist) if count]
        return self.buckets

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

    __slots__ = (
        "_log_sum", "_square", "_total", "_weight", "count", "end_ms", "latest", "length_ms", "log_sum", "pane", "rate", "recent", "total",
    )  # fmt: skip

    def __init__(self, length_ms: int, rate: bool) -> None:
        self.length_ms, self.rate = length_ms, rate
        self.pane: Pane | None = None
        self.latest: Sample | None = None
        self._weight = self._square = self._log_sum = self._total = 0.0
        self.end_ms = 0
        self.recent: deque[tuple[int, Sample]] = deque(maxlen=SAMPLE_EVENTS)
        self.count = self.log_sum = self.total = 0.0

    def restore(self, state: list[Any]) -> None:
        """Take over what `to_state` gave."""
        sums, recent = state
        self._weight, self._square, self._log_sum, self._total, self.end_ms = sums
        self.recent = deque(((start, Sample(*s)) for start, s in recent), SAMPLE_EVENTS)
        self._scale()

    def take(self, pane: Pane, extract: Callable[[Pane], Sample]) -> Sample:
        """The pane's sample, pushed unless a detector that shares the window has done so."""
        if pane is not self.pane or self.latest is None:
            self.pane, self.latest = pane, extract(pane)
            self.push(pane.start_ms, pane.start_ms + pane.width_ms, self.latest)
        return self.latest

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
