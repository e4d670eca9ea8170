"""A detector of the configuration as a judge of rows."""

from __future__ import annotations

from collections.abc import Callable

from sentinel.config.runtime import DetectorConfig
from sentinel.detection.series.registry import SERIES
from sentinel.detection.tuning import tuning_of

RowJudge = Callable[[int, float], tuple[float, bool]]
"""(epoch ms, value) → (score 0..1, whether it is an anomaly); rows in order, one judge a series."""


def judges(config: DetectorConfig) -> Callable[[], RowJudge]:
    """A maker of fresh judges. Raises ValueError for a strategy that does not judge rows, and for parameters of a wrong type."""
    tuning, make = tuning_of(config), SERIES[config.strategy]

    def new_judge() -> RowJudge:
        detector = make(tuning)

        def judge(time_ms: int, value: float) -> tuple[float, bool]:
            verdict = detector.update(time_ms, value)
            return verdict.score, verdict.anomalous

        return judge

    return new_judge


def row_strategies() -> list[str]:
    """Strategies that judge rows, `auto` first."""
    return sorted(SERIES, key=lambda name: (name != "auto", name))
