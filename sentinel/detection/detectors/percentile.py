"""Percentile: the last seconds against a percentile of the recent evaluations, times a factor."""

from __future__ import annotations

import math

from sentinel.detection.baselines import Assessment, Baseline, RingBaseline
from sentinel.detection.metrics import Model
from sentinel.detection.tuning import SENSITIVITY
from sentinel.detection.windowed import WindowedDetector


class PercentileDetector(WindowedDetector):
    """Fires above `factor` x the `percentile` of the last 60 evaluations (no assumption on their distribution)."""

    uses_long_window = False

    def new_baseline(self) -> Baseline:
        return RingBaseline(self.tuning.percentile, self.spec.model in (Model.LOG_MEAN, Model.SHARE, Model.VALUE))

    def least_ratio(self) -> float:
        return self.effective_factor

    @property
    def effective_factor(self) -> float:
        return 1.0 + (self.tuning.factor - 1.0) * SENSITIVITY[self.tuning.sensitivity]

    def is_anomalous(self, found: Assessment) -> bool:
        direction = self.tuning.direction
        if direction != "down" and found.ratio >= self.effective_factor:
            return True
        return direction != "up" and found.ratio * self.effective_factor <= 1.0

    def expected_range(self, baseline: float, found: Assessment) -> tuple[float, float]:
        return baseline / self.effective_factor, max(baseline * self.effective_factor, self.tuning.minimum)

    def deviation(self, found: Assessment) -> float:
        return found.ratio if math.isfinite(found.ratio) else 0.0

    def shown_threshold(self) -> float:
        return round(self.effective_factor, 3)
