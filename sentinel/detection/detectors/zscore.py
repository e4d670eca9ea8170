"""Z-score: the mean of the last seconds against an exponentially forgetting baseline, with the standard error of the calls seen."""

from __future__ import annotations

from sentinel.detection.baselines import Baseline, LinearBaseline, LogMeanBaseline, ShareBaseline, ValueBaseline
from sentinel.detection.metrics import MetricSpec, Model
from sentinel.detection.windowed import WindowedDetector

_COUNTS = ("calls_per_second", "events_per_second", "prompts_per_second")


def model_baseline(spec: MetricSpec) -> Baseline:
    """The empty baseline that fits the metric's distribution."""
    if spec.model is Model.LOG_MEAN:
        return LogMeanBaseline()
    if spec.model is Model.SHARE:
        return ShareBaseline()
    if spec.model is Model.VALUE:
        return LinearBaseline()
    return ValueBaseline(counting=spec.name in _COUNTS)


class ZScoreDetector(WindowedDetector):
    """Standardised deviation of a sliding window (10 s by default) and, where calls are few, of up to the last minute."""

    def new_baseline(self) -> Baseline:
        return model_baseline(self.spec)
