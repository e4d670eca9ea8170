"""The series detectors by strategy, and what their common parameters make of a verdict."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from sentinel.config.runtime import DetectorConfig
from sentinel.detection.series.auto import AutoDetector
from sentinel.detection.series.change_point import ChangePointDetector
from sentinel.detection.series.fitted import ArimaForecast, CurveForecast, ForecastDetector
from sentinel.detection.series.flat_line import FlatLineDetector
from sentinel.detection.series.once import QUIET
from sentinel.detection.series.robust import RobustDetector
from sentinel.detection.series.seasonal import SeasonalDetector
from sentinel.detection.series.verdict import SeriesDetector, Verdict
from sentinel.detection.tuning import SENSITIVITY, Tuning, tuning_of


def _rows(tuning: Tuning) -> tuple[int, int]:
    """Evaluations that are remembered, and that are learned before the first verdict."""
    memory = max(1, round(tuning.window_s / tuning.evaluation_s))
    return memory, max(tuning.min_evaluations, round(tuning.warmup_s / tuning.evaluation_s))


def _auto(tuning: Tuning, params: dict[str, Any]) -> SeriesDetector:
    return AutoDetector(sensitivity=SENSITIVITY[tuning.sensitivity], warmup_rows=_rows(tuning)[1])


def _robust(tuning: Tuning, params: dict[str, Any]) -> SeriesDetector:
    return RobustDetector(*_rows(tuning), tuning.effective_threshold)


def _seasonal(tuning: Tuning, params: dict[str, Any]) -> SeriesDetector:
    holidays = frozenset(str(day) for day in params.get("holidays") or ())
    return SeasonalDetector(_rows(tuning)[1], tuning.effective_threshold, params.get("timezone") or "UTC", holidays)


def _change_point(tuning: Tuning, params: dict[str, Any]) -> SeriesDetector:
    return ChangePointDetector(*_rows(tuning), tuning.effective_threshold)


def _flat_line(tuning: Tuning, params: dict[str, Any]) -> SeriesDetector:
    minimum = round((params.get("duration_s") or tuning.window_s) * SENSITIVITY[tuning.sensitivity] / tuning.evaluation_s)
    return FlatLineDetector(minimum, _rows(tuning)[1])


def _forecast(tuning: Tuning, params: dict[str, Any]) -> SeriesDetector:
    fitted = params.get("fitted")
    if not fitted:
        raise ValueError("a forecast must be fitted first: `sentinel fit` prints what belongs into its config")
    forecast = ArimaForecast(fitted) if fitted.get("kind") == "arima" else CurveForecast(fitted)
    return ForecastDetector(forecast, *_rows(tuning), tuning.effective_threshold)


SERIES: Final[dict[str, Callable[[Tuning, dict[str, Any]], SeriesDetector]]] = {
    "auto": _auto,
    "robust": _robust,
    "seasonal": _seasonal,
    "change_point": _change_point,
    "flat_line": _flat_line,
    "arima": _forecast,
    "prophet": _forecast,
}
"""Strategy → a fresh detector with the parameters of a configuration."""


class SeriesJudge:
    """A series detector with what all share: direction, effect size, floor. One instance a key, or a file."""

    def __init__(self, config: DetectorConfig, make: Callable[[Tuning, dict[str, Any]], SeriesDetector] | None = None) -> None:
        """`make` replaces the strategy's own maker. Raises ValueError, with the detector's id, for parameters that do not fit."""
        self.tuning = tuning_of(config)
        try:
            self.detector = (make or SERIES[config.strategy])(self.tuning, config.params)
        except (ValueError, LookupError) as error:
            raise ValueError(f"detector {config.id!r}: {error}") from error

    def update(self, time_ms: int, value: float) -> Verdict:
        """The detector's verdict, quietened where the configuration says that it does not count."""
        verdict = self.detector.update(time_ms, value)
        if self._counts(value, verdict.expected):
            return verdict
        return Verdict(round(verdict.score * QUIET, 6), False, verdict.expected)

    def _counts(self, value: float, expected: float) -> bool:
        tuning = self.tuning
        if (tuning.direction == "up" and value < expected) or (tuning.direction == "down" and value > expected):
            return False
        if tuning.minimum > 0.0 and value < tuning.minimum:
            return False
        ratio = tuning.effective_ratio
        return ratio <= 1.0 or expected <= 0.0 or value >= expected * ratio or value * ratio <= expected
