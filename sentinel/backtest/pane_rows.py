"""The pane detectors (z-score, moving average, percentile, threshold, silence) as judges of rows: each row becomes a pane of one call.

The first three count evaluations: a row is one, whatever its time. Thresholds and silence go by the timestamps; for silence a value above 0
is that many events, and the row that ends a silence tells of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from sentinel.config.runtime import DetectorConfig
from sentinel.detection.baselines import Assessment
from sentinel.detection.detectors.moving_average import MovingAverageDetector
from sentinel.detection.detectors.percentile import PercentileDetector
from sentinel.detection.detectors.silence import SilenceDetector
from sentinel.detection.detectors.threshold import ThresholdDetector
from sentinel.detection.detectors.zscore import ZScoreDetector
from sentinel.detection.metrics import MetricSpec, Model, Sample
from sentinel.detection.series.verdict import strength_score
from sentinel.detection.windowed import WindowedDetector
from sentinel.panes import Pane

SCALE = 10**9
"""Windows add up integers: a value counts in billionths."""
WIDTH_MS = 1_000
WINDOWED: Final[dict[str, type[WindowedDetector]]] = {
    "zscore": ZScoreDetector,
    "moving_average": MovingAverageDetector,
    "percentile": PercentileDetector,
}
PANE_ROWS: Final = (*WINDOWED, "threshold", "silence")
_DEFAULTS: Final[dict[str, Any]] = {"direction": "both", "min_ratio": 1.0, "min_count": 1, "consecutive": 1, "warmup_s": 200.0}


class RowPane(Pane):
    """A pane that carries the value of a row, in billionths."""

    scaled: int = 0


def _extract(pane: Pane) -> Sample:
    scaled = pane.scaled if isinstance(pane, RowPane) else 0
    return Sample(1, 0, 0, scaled, scaled, "")


ROW_VALUE: Final = MetricSpec("value", Model.VALUE, _extract, float(SCALE), 1.0)

RowJudge = Callable[[int, float], tuple[float, bool]]
"""(epoch ms, value) → (score 0..1, whether it is an anomaly); rows in order, one judge a series."""


def pane_judge(config: DetectorConfig) -> RowJudge:
    """A fresh judge. Raises ValueError, with the detector's id, for parameters that do not fit."""
    # The metric of a file is its column `value`; what the metric of the configuration would bring as defaults does not apply.
    given = config.params if config.strategy in ("threshold", "silence") else {**_DEFAULTS, **config.params}
    plain = msgspec.structs.replace(config, metric=None, params=given)
    if config.strategy == "silence":
        return _silence(SilenceDetector(plain))
    if config.strategy == "threshold":
        return _threshold(ThresholdDetector(plain, spec=ROW_VALUE))
    return _windowed(WINDOWED[config.strategy](plain, spec=ROW_VALUE))


def _pane(start_ms: int, width_ms: int, value: float, events: int = 1) -> RowPane:
    return RowPane("", "", "", start_ms, width_ms, events=events, calls=events, scaled=round(value * SCALE))


def _windowed(detector: WindowedDetector) -> RowJudge:
    step_ms, multiples, row = round(detector.tuning.evaluation_s * 1000), isinstance(detector, PercentileDetector), 0

    def judge(time_ms: int, value: float) -> tuple[float, bool]:
        nonlocal row
        if multiples and value < 0.0:
            raise ValueError(f"percentile compares multiples and needs values of at least 0, found {value:g}; robust takes any")
        detector.on_pane(_pane(row * step_ms, step_ms, value))
        row += 1
        found, lasting = detector.assessed, detector.episode.streak >= detector.tuning.consecutive
        return (strength_score(_strength(detector, found)) if found else 0.0), lasting

    return judge


def _strength(detector: WindowedDetector, found: Assessment) -> float:
    """How far an evaluation is on the way to an anomaly, which begins at 1; 0 on the side that does not count."""
    if isinstance(detector, PercentileDetector):
        up, down = found.ratio / detector.effective_factor, 1.0 / max(1e-9, found.ratio * detector.effective_factor)
    else:
        up, down = found.sigma / detector.tuning.effective_threshold, -found.sigma / detector.tuning.effective_threshold
    return max(0.0, {"up": up, "down": down}.get(detector.tuning.direction, max(up, down)))


def _threshold(detector: ThresholdDetector) -> RowJudge:
    def judge(time_ms: int, value: float) -> tuple[float, bool]:
        found = detector.on_pane(_pane(time_ms, WIDTH_MS, value))
        lasting = detector.episode.streak >= detector.tuning.consecutive
        return (found.score if found else 0.9 if lasting else 0.0), lasting

    return judge


def _silence(detector: SilenceDetector) -> RowJudge:
    def judge(time_ms: int, value: float) -> tuple[float, bool]:
        score = 0.0
        while (found := detector.on_time(time_ms)) is not None:
            score = max(score, found.score)
        events = max(1, round(min(value, 1e12))) if value > 0.0 else 0
        detector.on_pane(_pane(time_ms, WIDTH_MS, 0.0, events))
        return score, score > 0.0

    return judge
