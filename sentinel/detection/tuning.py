"""What can be tuned on a pane detector: the names, units and defaults of `DetectorConfig.params`."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from sentinel.config.runtime import DetectorConfig

SENSITIVITY = {"low": 1.3, "medium": 1.0, "high": 0.8}
"""Factor on the threshold and on the effect size that `sensitivity` stands for."""

LEVEL_OF_METRIC = {
    "latency_ms": "model",
    "latency_p95_ms": "model",
    "tokens_per_request": "model",
    "cost_per_request": "model",
}
"""Means differ from model to model, so they are tested per model; counts and shares need all calls, so they are tested per application."""


class Tuning(msgspec.Struct, frozen=True, kw_only=True):
    """Parameters of a pane detector, durations in seconds.

    Attributes:
        window_s: half-life of the learned baseline.
        evaluation_s: length of the window that is tested, and of the blocks that are learned.
        warmup_s, min_evaluations: data (seconds with traffic up to now, and learned blocks) before the first verdict.
        threshold: sigma above which an evaluation is anomalous (percentile detector: sigma is not used).
        sensitivity: low, medium or high: the factor of `SENSITIVITY` on the threshold and on `min_ratio`'s excess over 1.
        direction: which side counts.
        min_ratio: effect size: observed must be at least this multiple of the baseline (or the baseline of it, downwards).
        minimum: absolute floor of the observed value in display units: nothing fires below it.
        min_count: calls that must be in the tested window (errors for error_rate).
        consecutive: anomalous evaluations in a row before the first detection.
        repeat_s: least event time between two detections of a lasting anomaly.
        adapt_after_s: an anomaly that lasts this long becomes the new normal: the baseline is learned afresh.
        level: model or application: what a baseline is kept for.
        percentile, factor: percentile detector: threshold = factor x this percentile of the recent evaluations.
        minimum_s, expected_events: silence detector: no event for at least minimum_s and for as long as expected_events usually take.
    """

    window_s: float = 300.0
    evaluation_s: float = 10.0
    warmup_s: float = 60.0
    min_evaluations: int = 5
    threshold: float = 5.0
    sensitivity: Literal["low", "medium", "high"] = "medium"
    direction: Literal["up", "down", "both"] = "up"
    min_ratio: float = 1.3
    minimum: float = 0.0
    min_count: int = 5
    consecutive: int = 2
    repeat_s: float = 10.0
    adapt_after_s: float = 600.0
    level: Literal["model", "application"] = "model"
    percentile: float = 99.0
    factor: float = 1.5
    minimum_s: float = 20.0
    expected_events: float = 25.0

    @property
    def effective_threshold(self) -> float:
        return self.threshold * SENSITIVITY[self.sensitivity]

    @property
    def effective_ratio(self) -> float:
        return 1.0 + (self.min_ratio - 1.0) * SENSITIVITY[self.sensitivity]


_SERIES: dict[str, Any] = {"direction": "both", "min_ratio": 1.0, "minimum": 0.0, "min_count": 0, "consecutive": 1, "threshold": 5.0}
"""Series detectors look both ways, and at each evaluation by itself: what is small or rare shows in the spread that they learn."""
_STRATEGY_DEFAULTS: dict[str, dict[str, Any]] = {
    "percentile": {"min_ratio": 1.0, "min_evaluations": 12, "warmup_s": 120.0, "min_count": 10},
    "peer": {"evaluation_s": 10.0, "min_ratio": 1.5, "minimum": 8.0, "consecutive": 1, "window_s": 600.0, "min_count": 8},
    "silence": {"level": "application"},
    "auto": {**_SERIES, "warmup_s": 900.0},
    "robust": {**_SERIES, "window_s": 2_400.0, "warmup_s": 300.0},
    "seasonal": {**_SERIES, "warmup_s": 600.0},
    "change_point": {**_SERIES, "window_s": 2_400.0, "warmup_s": 300.0, "threshold": 12.0},
    "flat_line": {**_SERIES, "window_s": 600.0, "warmup_s": 300.0},
    "arima": {**_SERIES, "window_s": 2_400.0},
    "prophet": {**_SERIES, "window_s": 2_400.0},
}
_METRIC_DEFAULTS: dict[str, dict[str, Any]] = {
    "error_rate": {"min_ratio": 2.0, "minimum": 0.05, "min_count": 3, "threshold": 4.5},
    "calls_per_second": {"min_ratio": 1.8, "min_count": 20},
    "events_per_second": {"min_ratio": 1.8, "min_count": 20},
    "prompts_per_second": {"min_ratio": 1.8, "min_count": 20},
    "tokens_per_second": {"min_ratio": 2.0, "min_count": 10},
    "cost_per_second": {"min_ratio": 2.0, "min_count": 10},
}


def tuning_of(config: DetectorConfig) -> Tuning:
    """The tuning of a detector: its params over the metric's defaults over the strategy's over the general ones.

    Raises:
        ValueError: with the detector's id, when a value has the wrong type. Params of other purposes (`metric`) are passed over.
    """
    merged: dict[str, Any] = {"level": LEVEL_OF_METRIC.get(config.metric or "", "application")}
    merged |= _METRIC_DEFAULTS.get(config.metric or "", {})
    merged |= _STRATEGY_DEFAULTS.get(config.strategy, {})
    known = Tuning.__struct_fields__
    merged |= {name: value for name, value in config.params.items() if name in known and value is not None}
    try:
        tuning = msgspec.convert(merged, Tuning, strict=False)
    except msgspec.ValidationError as error:
        raise ValueError(f"detector {config.id!r}: {error}") from error
    if tuning.evaluation_s < 1.0 or tuning.window_s < tuning.evaluation_s:
        raise ValueError(
            f"detector {config.id!r}: evaluation_s {tuning.evaluation_s:g} must be at least 1 and at most window_s {tuning.window_s:g}"
        )
    return tuning
