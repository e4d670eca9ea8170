"""Change point: the level moved for good. Two-sided cumulative sums (Page 1954) of deviations from the level learned so far."""

from __future__ import annotations

from typing import Any

from sentinel.detection.series.scale import ResidualScale
from sentinel.detection.series.verdict import Verdict, strength_score
from sentinel.detection.state import check_version

STATE_VERSION = 1
SLACK = 0.5
"""Deviations up to half a standard deviation do not add up: shifts from one deviation on are sought."""
MOST = 4.0
"""One value adds at most so many deviations: a single spike is no change of the level."""


class ChangePointDetector:
    """Says a change once, then learns the new level."""

    def __init__(self, memory_rows: int, warmup_rows: int, threshold: float) -> None:
        """`threshold`: deviations that must have added up."""
        self.memory_rows, self.warmup_rows, self.threshold = memory_rows, max(8, warmup_rows), threshold
        self._start()

    def _start(self) -> None:
        self._rows, self._level = 0, 0.0
        self._high = self._low = 0.0
        self._scale = ResidualScale(self.memory_rows)

    def update(self, time_ms: int, value: float) -> Verdict:
        """Judge one value, then learn it."""
        if self._rows == 0:
            self._level = value
        level, residual = self._level, value - self._level
        sigma = self._scale.sigma(residual, abs(level)) if self._rows >= self.warmup_rows else 0.0
        step = max(-MOST, min(MOST, sigma))
        self._high = max(0.0, self._high + step - SLACK)
        self._low = max(0.0, self._low - step - SLACK)
        strength = max(self._high, self._low) / self.threshold
        score = strength_score(strength)
        if strength >= 1.0:
            self._start()
            self._level, self._rows = value, 1
            return Verdict(score, True, level)
        self._rows += 1
        # While a sum runs up, the level waits: otherwise it would follow the change and hide it.
        if strength < 0.5:
            limit = self._scale.limit()
            known = max(-limit, min(limit, residual)) if limit > 0.0 else residual
            self._level += known / min(self._rows, self.memory_rows)
            self._scale.learn(residual)
        return Verdict(score, False, level)

    def to_state(self) -> list[Any]:
        """Versioned and msgpack-able."""
        return [STATE_VERSION, self._rows, self._level, self._high, self._low, self._scale.to_state()]

    def from_state(self, state: Any) -> None:
        """Raises StateError on another version."""
        self._rows, self._level, self._high, self._low, scale = check_version(state, STATE_VERSION, type(self).__name__)
        self._scale.from_state(scale)
