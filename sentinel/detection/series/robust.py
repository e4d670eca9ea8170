"""Robust deviation: distance from the median of the last values in units of their median absolute deviation (Hampel 1974)."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from typing import Any

from sentinel.detection.series.scale import LARGEST_SIGMA, SMALLEST
from sentinel.detection.series.verdict import Verdict, strength_score
from sentinel.detection.state import check_version

STATE_VERSION = 1
MAD_TO_SIGMA = 1.4826
MEAN_TO_SIGMA = 1.2533


class RobustDetector:
    """Up to half of the remembered values may be wild without moving the judgement, so an anomaly cannot poison it."""

    def __init__(self, memory_rows: int, warmup_rows: int, threshold: float) -> None:
        self.memory_rows, self.warmup_rows, self.threshold = max(8, memory_rows), max(8, warmup_rows), threshold
        self._values: deque[float] = deque()
        self._sorted: list[float] = []

    def update(self, time_ms: int, value: float) -> Verdict:
        """Judge one value against those before it, then remember it."""
        ordered = self._sorted
        sigma, median = 0.0, value
        if len(ordered) >= min(self.warmup_rows, self.memory_rows):
            median = ordered[len(ordered) // 2]
            sigma = self._sigma(value - median, median)
        self._values.append(value)
        insort(ordered, value)
        if len(self._values) > self.memory_rows:
            del ordered[bisect_left(ordered, self._values.popleft())]
        return Verdict(strength_score(abs(sigma) / self.threshold), abs(sigma) >= self.threshold, median)

    def _sigma(self, shift: float, median: float) -> float:
        distances = sorted(abs(other - median) for other in self._sorted)
        spread = MAD_TO_SIGMA * distances[len(distances) // 2]
        if spread == 0.0:
            # More than half of the values are equal: the others say how far they go.
            spread = MEAN_TO_SIGMA * sum(distances) / len(distances)
        spread = max(spread, SMALLEST * abs(median))
        if spread == 0.0:
            return LARGEST_SIGMA if shift else 0.0
        return max(-LARGEST_SIGMA, min(LARGEST_SIGMA, shift / spread))

    def to_state(self) -> list[Any]:
        """Versioned and msgpack-able."""
        return [STATE_VERSION, list(self._values)]

    def from_state(self, state: Any) -> None:
        """Raises StateError on another version."""
        (values,) = check_version(state, STATE_VERSION, type(self).__name__)
        self._values, self._sorted = deque(values), sorted(values)
