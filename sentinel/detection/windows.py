"""The tested window: a sliding sum of the last seconds, or an exponentially weighted one. Both forget by event time.

Detectors of one key that test the same metric over the same length share one window (see `lanes`).
"""

from __future__ import annotations

from collections import deque
from typing import Any

from sentinel.detection.metrics import Read

SAMPLE_EVENTS = 3


class SlidingWindow:
    """Exact sums of the panes of the last `length_ms`; integers only, so that adding and taking away leaves no trace."""

    __slots__ = ("count", "end_ms", "length_ms", "log_sum", "slots", "total")

    def __init__(self, length_ms: int) -> None:
        self.length_ms = length_ms
        self.slots: deque[tuple[int, Read]] = deque()
        self.count = self.log_sum = self.total = self.end_ms = 0

    def restore(self, state: list[Any]) -> None:
        """Take over what `to_state` gave."""
        self.slots.clear()
        self.count = self.log_sum = self.total = self.end_ms = 0
        for start_ms, end_ms, sample in state:
            self.push(start_ms, end_ms, tuple(sample))

    def push(self, start_ms: int, end_ms: int, sample: Read) -> None:
        calls, log_sum, _, total, _, _ = sample
        slots = self.slots
        slots.append((start_ms, sample))
        self.end_ms = end_ms
        oldest = end_ms - self.length_ms
        while slots[0][0] < oldest:
            gone = slots.popleft()[1]
            calls -= gone[0]
            log_sum -= gone[1]
            total -= gone[3]
        self.count += calls
        self.log_sum += log_sum
        self.total += total

    @property
    def start_ms(self) -> int:
        """Start of the window: of its first pane, or the whole length back."""
        first: int = self.slots[0][0] if self.slots else 0
        return max(first, self.end_ms - self.length_ms)

    def samples(self) -> list[str]:
        """Event ids behind the largest values, largest first; without values the first events."""
        return _ranked(self.slots)[:SAMPLE_EVENTS]

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
        "_faded", "_log_sum", "_passed_ms", "_square", "_total", "_weight", "count", "end_ms", "length_ms", "log_sum", "rate", "recent", "total",
    )  # fmt: skip

    def __init__(self, length_ms: int, rate: bool) -> None:
        self.length_ms, self.rate = length_ms, rate
        self._passed_ms, self._faded = 0, 1.0
        self._weight = self._square = self._log_sum = self._total = 0.0
        self.end_ms = 0
        self.recent: deque[tuple[int, Read]] = deque(maxlen=SAMPLE_EVENTS)
        self.count = self.log_sum = self.total = 0.0

    def restore(self, state: list[Any]) -> None:
        """Take over what `to_state` gave."""
        sums, recent = state
        self._weight, self._square, self._log_sum, self._total, self.end_ms = sums
        self.recent = deque(((start, tuple(s)) for start, s in recent), SAMPLE_EVENTS)
        self._scale()

    def push(self, start_ms: int, end_ms: int, sample: Read) -> None:
        fade = self._fade(end_ms - self.end_ms) if self.end_ms else 0.0
        calls, log_sum, _, total, _, _ = sample
        self._weight = self._weight * fade + calls
        self._square = self._square * fade * fade + calls
        self._log_sum = self._log_sum * fade + log_sum
        self._total = self._total * fade + total
        self.end_ms = end_ms
        self.recent.append((start_ms, sample))
        self._scale()

    def _fade(self, passed_ms: int) -> float:
        """Most panes follow each other at the same distance."""
        if passed_ms != self._passed_ms:
            self._passed_ms, self._faded = passed_ms, 0.5 ** (passed_ms / self.length_ms)
        return self._faded

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
        return _ranked(self.recent)

    def to_state(self) -> list[Any]:
        return [(self._weight, self._square, self._log_sum, self._total, self.end_ms), list(self.recent)]


def _ranked(samples: deque[tuple[int, Read]]) -> list[str]:
    """Event ids, those of the largest values first."""
    ranked = sorted((sample for _, sample in samples if sample[5] and sample[0]), key=lambda sample: (-sample[4], sample[5]))
    return list(dict.fromkeys(sample[5] for sample in ranked))
