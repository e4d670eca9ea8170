"""`auto`: what a user gets who configures nothing. Two kinds of news about a value, each on a scale of its own past.

*Novelty*: the value lies where the series has never been (`ValueCoverage`).
*Surprise*: the values of the last rows add up to something else than was forecast (`BestForecast`), over several spans at once, measured
in multiples of what such sums usually reach (`TailRatio`).

The larger of both is the strength: 1 is where an alarm begins. A strength that does not exceed what was said within the last `rest` rows is
no news: it is halved below the alarm, so that a lasting trouble is said once, and again only when it grows.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any

from sentinel.detection.series.coverage import ValueCoverage
from sentinel.detection.series.forecast import BestForecast, TailRatio
from sentinel.detection.series.verdict import Verdict
from sentinel.detection.state import check_version

STATE_VERSION = 1
SPANS = (4, 12, 36)
"""Rows over which residuals are summed."""
TAIL_AT_ALARM = (1.6, 1.35, 1.35)
"""Multiples of the 99th percentile at which a span's sum alarms."""
GAP_AT_ALARM = 0.03
"""Share of the range by which a value must be away from all others."""
MEMORY_ROWS = 4_000
DELAY_ROWS = 10
REST_ROWS = 150
WARMUP_ROWS = 50
FADE = 0.999
WINSOR = 4.0
RESUM_ROWS = 36


class AutoDetector:
    """Streaming, bounded state, no parameter that depends on the unit of the values."""

    def __init__(self, sensitivity: float = 1.0, rest_rows: int = REST_ROWS, warmup_rows: int = WARMUP_ROWS) -> None:
        """`sensitivity` divides the strength: above 1 it takes more to alarm."""
        self.sensitivity, self.rest_rows, self.warmup_rows = sensitivity, rest_rows, warmup_rows
        self._rows = 0
        self._coverage = ValueCoverage(MEMORY_ROWS, DELAY_ROWS)
        self._forecast = BestForecast()
        self._residuals: deque[float] = deque(maxlen=max(SPANS))
        self._sums = [0.0] * len(SPANS)
        # Second moments of the sums, winsorised, exponentially forgotten: [weighted squares, weight].
        self._moments = [[0.0, 0.0] for _ in SPANS]
        self._tails = [TailRatio() for _ in SPANS]
        # Strengths that were said within the rest, falling: (row, strength).
        self._said: deque[tuple[int, float]] = deque()

    def update(self, time_ms: int, value: float) -> Verdict:
        """Judge one value and learn it. Values in time order; finite."""
        residual, forecast = self._forecast.residual(time_ms, value)
        strength = max(self._coverage.gap(value) / GAP_AT_ALARM, self._surprise(residual)) / self.sensitivity
        self._rows += 1
        if self._rows <= self.warmup_rows:
            strength = 0.0
        score = round(1.0 - 1.0 / (1.0 + strength * strength), 6)
        if self._rested(strength):
            # Below the alarm also when it rounds up.
            score = round(score * 0.499, 6)
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

    def _rested(self, strength: float) -> bool:
        """Whether something at least as strong was said within the rest; if not, this is said now."""
        said, row = self._said, self._rows
        while said and said[0][0] < row - self.rest_rows:
            said.popleft()
        if said and strength <= said[0][1]:
            return True
        while said and said[-1][1] <= strength:
            said.pop()
        said.append((row, strength))
        return False

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
            [list(entry) for entry in self._said],
        ]

    def from_state(self, state: Any) -> None:
        """Raises StateError on another version."""
        self._rows, coverage, forecast, residuals, sums, moments, tails, said = check_version(state, STATE_VERSION, type(self).__name__)
        self._coverage.from_state(coverage)
        self._forecast.from_state(forecast)
        self._residuals = deque(residuals, maxlen=max(SPANS))
        self._sums, self._moments = list(sums), [list(moment) for moment in moments]
        for tail, stored in zip(self._tails, tails, strict=True):
            tail.from_state(stored)
        self._said = deque((row, strength) for row, strength in said)
