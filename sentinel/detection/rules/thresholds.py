"""Threshold rules: a number of one event against a limit, evaluated for a whole batch at once."""

from __future__ import annotations

import numpy as np

from sentinel.config.runtime import DetectorConfig
from sentinel.detection.comparisons import CONDITIONS
from sentinel.detection.rules.batch import EventBatch


class ThresholdRule:
    """One rule of strategy `threshold` at event level. NaN (the event has no such number) never fires, whatever the condition."""

    def __init__(self, detector: DetectorConfig) -> None:
        self.detector = detector
        self.metric = str(detector.metric)
        self.value = float(detector.params["value"])
        self._compare, self.symbol = CONDITIONS[detector.params.get("condition", "greater_than")]

    def hits(self, batch: EventBatch) -> list[tuple[int, float]]:
        """(row, observed value) of every event that breaks the limit."""
        numbers = batch.metric(self.metric)
        rows = np.flatnonzero(self._compare(numbers, self.value) & ~np.isnan(numbers))
        return [(row, float(numbers[row])) for row in rows.tolist()]

    def describe(self, observed: float) -> str:
        """The sentence of a hit."""
        return f"{self.metric} was {observed:,.6g}; the rule fires at {self.symbol} {self.value:,.6g}"

    def score(self, observed: float) -> float:
        """0.5 on the limit, towards 1 with the distance relative to it: 1 - 1/(1 + observed/limit) for positive numbers."""
        ratio = abs(observed) / abs(self.value) if self.value else abs(observed) + 1.0
        if self.symbol.startswith("<"):
            ratio = 1.0 / ratio if ratio else 1e9
        return round(ratio / (1.0 + ratio), 4)
