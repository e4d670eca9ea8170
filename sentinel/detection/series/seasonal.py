"""Seasonal baseline: the usual value of this hour of this weekday, holidays counted as a day of their own."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sentinel.detection.series.scale import ResidualScale
from sentinel.detection.series.verdict import Verdict, strength_score
from sentinel.detection.state import check_version

STATE_VERSION = 1
HOUR_MS = 3_600_000
HOLIDAY = 7
ANY_DAY = 8 * 24
ALL = ANY_DAY + 24
CELLS = ALL + 1
"""A cell an hour for each of 7 weekdays and holidays, then an hour of any day, then one for everything."""
ENOUGH_DAYS = 2
"""A cell counts once it was learned on so many different days."""
MEMORY = 2_000
"""Values of a cell after which it no longer averages but follows."""
LEAST_SHARE = 0.2
"""An hour that was calm by chance is judged with at least this share of what is usual over all."""


class SeasonalDetector:
    """Judges by the finest mean that was seen on at least two days (hour of weekday, hour of any day, everything), with the spread that
    residuals have at this hour of the day."""

    def __init__(self, warmup_rows: int, threshold: float, timezone: str = "UTC", holidays: frozenset[str] = frozenset()) -> None:
        """`holidays`: ISO dates. Raises ZoneInfoNotFoundError (a KeyError) for an unknown time zone."""
        self.warmup_rows, self.threshold, self.holidays = warmup_rows, threshold, holidays
        self._zone = UTC if timezone == "UTC" else ZoneInfo(timezone)
        self._mean = [0.0] * CELLS
        self._visits = [0] * CELLS
        # Days on which the cell was learned, up to ENOUGH_DAYS, and the last of them while there are fewer.
        self._days, self._last_day = [0] * CELLS, [0] * CELLS
        self._spreads = [ResidualScale(MEMORY) for _ in range(27)]
        self._rows = 0
        self._hour = self._first_cell = self._day = -1

    def update(self, time_ms: int, value: float) -> Verdict:
        """Judge one value by its time, then learn it."""
        if time_ms // HOUR_MS != self._hour:
            local = datetime.fromtimestamp(time_ms / 1000.0, self._zone)
            kind = HOLIDAY if local.date().isoformat() in self.holidays else local.weekday()
            self._hour, self._first_cell, self._day = time_ms // HOUR_MS, kind * 24 + local.hour, local.toordinal()
        hour = self._first_cell % 24
        cells = (self._first_cell, ANY_DAY + hour, ALL)
        judged = next((cell for cell in cells[:2] if self._days[cell] >= ENOUGH_DAYS), ALL)
        expected = self._mean[judged] if self._rows else value
        # A spread for each kind of mean, since a rough mean has rough residuals; and one an hour for the finest.
        residual, kind_spread, sigma = value - expected, self._spreads[24 + cells.index(judged)], 0.0
        own = self._spreads[hour] if judged == self._first_cell else kind_spread
        if self._rows >= self.warmup_rows:
            sigma = abs(kind_spread.sigma(residual, abs(expected)))
            if own is not kind_spread and (usual := abs(own.sigma(residual, abs(expected)))):
                sigma = min(usual, sigma / LEAST_SHARE)
        self._rows += 1
        limit = own.limit()
        kind_spread.learn(residual)
        if own is not kind_spread:
            own.learn(residual)
        for cell in cells:
            self._learn(cell, value, limit)
        strength = abs(sigma) / self.threshold
        return Verdict(strength_score(strength), strength >= 1.0, expected)

    def _learn(self, cell: int, value: float, limit: float) -> None:
        visits = self._visits[cell] = min(MEMORY, self._visits[cell] + 1)
        shift = value - self._mean[cell]
        if self._days[cell] >= ENOUGH_DAYS and limit > 0.0:
            shift = max(-limit, min(limit, shift))
        self._mean[cell] += shift / visits
        if self._days[cell] < ENOUGH_DAYS and self._last_day[cell] != self._day:
            self._last_day[cell] = self._day
            self._days[cell] += 1

    def to_state(self) -> list[Any]:
        """Versioned and msgpack-able; only cells that were learned."""
        table = [
            [cell, self._mean[cell], self._visits[cell], self._days[cell] if self._days[cell] >= ENOUGH_DAYS else -self._last_day[cell]]
            for cell in range(CELLS)
            if self._visits[cell]
        ]
        return [STATE_VERSION, self._rows, table, [spread.to_state() for spread in self._spreads]]

    def from_state(self, state: Any) -> None:
        """Raises StateError on another version."""
        self._rows, table, spreads = check_version(state, STATE_VERSION, type(self).__name__)
        for cell, mean, visits, days in table:
            self._mean[cell], self._visits[cell] = mean, visits
            self._days[cell], self._last_day[cell] = (days, 0) if days > 0 else (1, -days)
        for spread, stored in zip(self._spreads, spreads, strict=True):
            spread.from_state(stored)
