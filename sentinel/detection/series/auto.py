"""`auto`: what a user gets who configures nothing. Two kinds of news about a value, each on a scale of its own past.

*Novelty*: the value lies where the series has never been (`ValueCoverage`).
*Surprise*: the values of the last rows add up to something else than was forecast (`BestForecast`), over several spans at once, measured
in multiples of what such sums usually reach (`TailRatio`).

The larger of both is the strength: 1 is where an alarm begins. A strength that does not exceed what was said within the last `rest_rows` rows is
no news: it is halved below the alarm, so that a lasting trouble is said once, and again only when it grows.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any

from sentinel.detection.series.coverage import ValueCoverage
from sentinel.detection.series.forecast import BestForecast, TailRatio
from sentinel.detection.series.once import QUIET, REST_ROWS, SayOnce
from sentinel.detection.series.verdict import Verdict, strength_score
from sentinel.detection.state import check_version

STATE_VERSION = 1
SPANS = (4, 12, 36)
"""Rows over which residuals are summed."""
TAIL_AT_ALARM = (1.4, 1.2, 1.2)
"""Multiples of the tail percentile at which a span's sum alarms."""
GAP_AT_ALARM = 0.03
"""Share of the range by which a value must be away from all others."""
MEMORY_ROWS = 4_000
DELAY_ROWS = 10
WARMUP_ROWS = 90
FADE = 0.999
WINSOR = 4.0
RESUM_ROWS = 36


class AutoDetector:
    """Streaming, bounded state, no parameter that depends on the unit of the values."""

    def __init__(self, sensitivity: float = 1.0, rest_rows: int = REST_ROWS, warmup_rows: int = WARMUP_ROWS) -> None:
        """`sensitivity` divides the strength: above 1 it takes more to alarm."""
        self.sensitivity, self.warmup_rows = sensitivity, warmup_rows
        self._rows = 0
        self._coverage = ValueCoverage(MEMORY_ROWS, DELAY_ROWS)
        self._forecast = BestForecast()
        self._residuals: deque[float] = deque(maxlen=max(SPANS))
        self._sums = [0.0] * len(SPANS)
        # Second moments of the sums, winsorised, exponentially forgotten: [weighted squares, weight].
        self._moments = [[0.0, 0.0] for _ in SPANS]
        self._tails = [TailRatio() for _ in SPANS]
        self._once = SayOnce(rest_rows)

    def update(self, time_ms: int, value: float) -> Verdict:
        """Judge one value and learn it. Values in time order; finite."""
        residual, forecast = self._forecast.residual(time_ms, value)
        strength = max(self._coverage.gap(value) / GAP_AT_ALARM, self._surprise(residual)) / self.sensitivity
        self._rows += 1
        if self._rows <= self.warmup_rows:
            strength = 0.0
        score = strength_score(strength)
        if not self._once.is_news(strength):
            score = round(score * QUIET, 6)
        return Verdict(score, score >= 0.5, forecast)

    def _surprise(self, residual: float) -> float:
        strongest = 0.0
        residuals, sums = self._residuals, self._sums
        for index, span in enumerate(SPANS):
            sums[index] += residual - (residuals[-span] if len(residuals) >= span else 0.0)
        residuals.append(residual)
        if self._rows % RESUM_ROWS == 0:
            # A huge value that came and went leaves rounding errors in a running sum.
            sums[:] = [math.fsum(list(residuals)[-span:]) for span in SPANS]
        for index, span in enumerate(SPANS):
            if len(residuals) < span:
                continue
            total, moment = abs(sums[index]), self._moments[index]
            spread = math.sqrt(moment[0] / moment[1]) if moment[1] > span else 0.0
            if spread > 0.0:
                strongest = max(strongest, self._tails[index].ratio(total / spread) / TAIL_AT_ALARM[index])
                total = min(total, WINSOR * spread)
            moment[0] = moment[0] * FADE + total * total
            moment[1] = moment[1] * FADE + 1.0
        return strongest

    def to_state(self) -> list[Any]:
        """Versioned and msgpack-able."""
        return [
            STATE_VERSION,
            self._rows,
            self._coverage.to_state(),
            self._forecast.to_state(),
            list(self._residuals),
            self._sums,
            self._moments,
            [tail.to_state() for tail in self._tails],
            self._once.to_state(),
        ]

    def from_state(self, state: Any) -> None:
        """Raises StateError on another version."""
        self._rows, coverage, forecast, residuals, sums, moments, tails, once = check_version(state, STATE_VERSION, type(self).__name__)
        self._coverage.from_state(coverage)
        self._forecast.from_state(forecast)
        self._residuals = deque(residuals, maxlen=max(SPANS))
        self._sums, self._moments = list(sums), [list(moment) for moment in moments]
        for tail, stored in zip(self._tails, tails, strict=True):
            tail.from_state(stored)
        self._once.from_state(once)
