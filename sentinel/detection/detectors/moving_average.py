"""Moving-average deviation: an exponentially weighted average against the learned long-run level (EWMA chart; Roberts 1959)."""

from __future__ import annotations

from sentinel.detection.baselines import Baseline
from sentinel.detection.detectors.zscore import model_baseline
from sentinel.detection.metrics import Model
from sentinel.detection.windowed import WindowedDetector
from sentinel.detection.windows import DecayingWindow


class MovingAverageDetector(WindowedDetector):
    """Like the z-score, but the tested value is an EWMA with half-life `evaluation_s`: slower to start, better on small lasting shifts."""

    uses_long_window = False

    def new_baseline(self) -> Baseline:
        return model_baseline(self.spec)

    def new_window(self) -> DecayingWindow:
        return DecayingWindow(self.block_ms, self.spec.model is Model.RATE)
