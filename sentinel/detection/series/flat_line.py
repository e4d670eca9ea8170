"""Flat line: a series that always moved stands still. A stuck exporter reports its last value for ever."""

from __future__ import annotations

import math
from typing import Any

from sentinel.detection.series.verdict import Verdict, strength_score
from sentinel.detection.state import check_version

STATE_VERSION = 1
LONGER = 3.0
"""A run must be this multiple of the longest one before."""
FADE = 0.9995
"""Forgetting of the longest run, a row."""


class FlatLineDetector:
    """Alarms when a value repeats for at least `minimum_rows`, and three times as long as it ever did lately."""

    def __init__(self, minimum_rows: int, warmup_rows: int) -> None:
        self.minimum_rows, self.warmup_rows = max(3, minimum_rows), warmup_rows
        self._rows = self._run = 0
        self._longest = 0.0
        self._value = float("nan")

    def update(self, time_ms: int, value: float) -> Verdict:
        """Judge one value by how long it has stood still."""
        self._rows += 1
        self._longest *= FADE
        if value == self._value:
            self._run += 1
        else:
            # A run that was an anomaly counts as one that just was none.
            self._longest = max(self._longest, min(float(self._run), self._limit()))
            self._value, self._run = value, 1
        limit = self._limit()
        strength = self._run / limit if self._rows > self.warmup_rows and self._run > 1 else 0.0
        if strength > 1.0:
            # A stand-still is worse when it has doubled, not at every row.
            strength = 2.0 ** math.floor(math.log2(strength))
        # A series that never moved is no series that stopped.
        if self._run >= self._rows:
            strength = 0.0
        score = strength_score(strength)
        return Verdict(score, strength >= 1.0, value)

    def _limit(self) -> float:
        return max(self.minimum_rows, LONGER * self._longest)

    def to_state(self) -> list[Any]:
        """Versioned and msgpack-able."""
        return [STATE_VERSION, self._rows, self._run, self._longest, self._value]

    def from_state(self, state: Any) -> None:
        """Raises StateError on another version."""
        self._rows, self._run, self._longest, self._value = check_version(state, STATE_VERSION, type(self).__name__)
