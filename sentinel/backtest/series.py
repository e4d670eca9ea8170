"""A detector of the configuration as a judge of rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sentinel.backtest.pane_rows import PANE_ROWS, RowJudge, pane_judge
from sentinel.config.runtime import DetectorConfig
from sentinel.detection.series.fitted import Forecast, ForecastDetector
from sentinel.detection.series.fitting import FITS, RefittingDetector
from sentinel.detection.series.once import QUIET, SayOnce
from sentinel.detection.series.registry import SERIES, SeriesJudge
from sentinel.detection.series.verdict import SeriesDetector
from sentinel.detection.tuning import Tuning


def judges(config: DetectorConfig) -> Callable[[], RowJudge]:
    """A maker of fresh judges. A row is one evaluation, whatever its time.

    As the job folds repeats of an anomaly into the first one, a row that is no worse than one of the last 150 is quietened here.

    Raises ValueError for a strategy that does not judge rows, and for parameters that do not fit.
    """
    if config.strategy in PANE_ROWS:
        pane_judge(config)
        return lambda: _said_once(pane_judge(config))
    make = _refitting(config.strategy) if config.strategy in FITS and not config.params.get("fitted") else None
    # Parameters that do not fit are told before the first file.
    SeriesJudge(config, make)

    def new_judge() -> RowJudge:
        judge, streak = SeriesJudge(config, make), 0

        def judge_row(time_ms: int, value: float) -> tuple[float, bool]:
            nonlocal streak
            verdict = judge.update(time_ms, value)
            streak = streak + 1 if verdict.anomalous else 0
            return verdict.score, streak >= judge.tuning.consecutive

        return judge_row if config.strategy == "auto" else _said_once(judge_row)

    return new_judge


def _said_once(judge: RowJudge) -> RowJudge:
    once = SayOnce()

    def judge_row(time_ms: int, value: float) -> tuple[float, bool]:
        score, anomalous = judge(time_ms, value)
        # What begins an alarm only after some rows in a row is none before.
        score = score if anomalous else min(score, QUIET)
        if once.is_news(score):
            return score, anomalous
        return round(score * QUIET, 6), False

    return judge_row


def _refitting(kind: str) -> Callable[[Tuning, dict[str, Any]], SeriesDetector]:
    """Without a fitted forecast, one is fitted to the rows that went before."""

    def make(tuning: Tuning, params: dict[str, Any]) -> SeriesDetector:
        memory = max(1, round(tuning.window_s / tuning.evaluation_s))

        def detector(forecast: Forecast) -> SeriesDetector:
            return ForecastDetector(forecast, memory, tuning.min_evaluations, tuning.effective_threshold)

        return RefittingDetector(kind, detector)

    return make


def row_strategies() -> list[str]:
    """Strategies that judge rows, `auto` first."""
    return sorted((*SERIES, *PANE_ROWS), key=lambda name: (name != "auto", name))
