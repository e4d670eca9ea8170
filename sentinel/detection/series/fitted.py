"""Forecasts that were fitted elsewhere, applied one value at a time: ARIMA by its recursion, Prophet by its curve.

Fitting takes a second and a library (`sentinel.detection.series.fitting`); applying takes a microsecond and a handful of numbers, which stand
in the configuration.
"""

from __future__ import annotations

from typing import Any, Protocol

from sentinel.detection.series.scale import ResidualScale
from sentinel.detection.series.verdict import Verdict, strength_score
from sentinel.detection.state import check_version

STATE_VERSION = 1
DAY_MS = 86_400_000
WEEK_MS = 7 * DAY_MS
MONDAY_MS = 4 * DAY_MS
"""The first Monday after the epoch, from which hours of the week count."""
WINSOR = 5.0


class Forecast(Protocol):
    """One step ahead: `expect` before the value is known, `learn` afterwards."""

    def expect(self, time_ms: int) -> float | None: ...

    def learn(self, value: float) -> None: ...

    def to_state(self) -> list[Any]: ...

    def from_state(self, state: Any) -> None: ...


class ArimaForecast:
    """ARIMA(p, d, q), d 0 or 1. `fit`: d, ar, ma, mean (of the differenced series), sigma (of the residuals)."""

    def __init__(self, fit: dict[str, Any]) -> None:
        try:
            self._ar, self._ma = [float(c) for c in fit["ar"]], [float(c) for c in fit["ma"]]
            self._d, self._mean, self._sigma = int(fit["d"]), float(fit["mean"]), float(fit["sigma"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"a fitted ARIMA needs d, ar, ma, mean and sigma; found {error!r}") from error
        self._last: float | None = None
        self._past: list[float] = []
        self._errors: list[float] = []

    def expect(self, time_ms: int) -> float | None:
        """The forecast; None until enough values are known."""
        if len(self._past) < len(self._ar) or (self._d and self._last is None):
            return None
        return self._step() + (self._last or 0.0 if self._d else 0.0)

    def _step(self) -> float:
        step = self._mean
        step += sum(c * (value - self._mean) for c, value in zip(self._ar, reversed(self._past), strict=False))
        return step + sum(c * error for c, error in zip(self._ma, reversed(self._errors), strict=False))

    def learn(self, value: float) -> None:
        """Take the value in; a residual beyond `WINSOR` standard deviations counts as that many, so that one spike does not echo."""
        known = len(self._past) >= len(self._ar)
        if self._d and self._last is None:
            self._last = value
            return
        step = value - self._last if self._d and self._last is not None else value
        error = 0.0
        if known:
            expected, limit = self._step(), WINSOR * self._sigma
            error = max(-limit, min(limit, step - expected)) if limit > 0.0 else step - expected
            step = expected + error
        self._past = [*self._past, step][-max(1, len(self._ar)) :]
        self._errors = [*self._errors, error][-max(1, len(self._ma)) :]
        self._last = value

    def to_state(self) -> list[Any]:
        return [self._last, self._past, self._errors]

    def from_state(self, state: Any) -> None:
        self._last, self._past, self._errors = state[0], list(state[1]), list(state[2])


class CurveForecast:
    """A trend and the curves of a day and of a week, as Prophet fits them. `fit`: origin_ms, level, slope (a day), daily, weekly.

    `daily` and `weekly` hold equally long parts of the day, and of the week from Monday (UTC), added to the trend.
    """

    def __init__(self, fit: dict[str, Any]) -> None:
        try:
            self._origin_ms, self._level, self._slope = float(fit["origin"]), float(fit["level"]), float(fit["slope"])
            self._daily, self._weekly = [float(v) for v in fit["daily"]], [float(v) for v in fit["weekly"]]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"a fitted curve needs origin, level, slope, daily and weekly; found {error!r}") from error

    def expect(self, time_ms: int) -> float | None:
        """The curve at this time."""
        value = self._level + self._slope * (time_ms - self._origin_ms) / DAY_MS
        if self._daily:
            value += self._daily[time_ms % DAY_MS * len(self._daily) // DAY_MS]
        if self._weekly:
            value += self._weekly[(time_ms - MONDAY_MS) % WEEK_MS * len(self._weekly) // WEEK_MS]
        return value

    def learn(self, value: float) -> None:
        """A curve learns only when it is fitted again."""

    def to_state(self) -> list[Any]:
        return []

    def from_state(self, state: Any) -> None:
        """Nothing to take over."""


class ForecastDetector:
    """Distance from a fitted forecast, in standard deviations of its recent errors."""

    def __init__(self, forecast: Forecast, memory_rows: int, warmup_rows: int, threshold: float) -> None:
        self.forecast, self.warmup_rows, self.threshold = forecast, warmup_rows, threshold
        self._rows = 0
        self._scale = ResidualScale(memory_rows)

    def update(self, time_ms: int, value: float) -> Verdict:
        """Judge one value by its forecast, then learn it."""
        expected, sigma = self.forecast.expect(time_ms), 0.0
        self._rows += 1
        if expected is not None:
            if self._rows > self.warmup_rows:
                sigma = self._scale.sigma(value - expected, abs(expected))
            self._scale.learn(value - expected)
        self.forecast.learn(value)
        return Verdict(strength_score(abs(sigma) / self.threshold), abs(sigma) >= self.threshold, value if expected is None else expected)

    def to_state(self) -> list[Any]:
        """Versioned and msgpack-able."""
        return [STATE_VERSION, self._rows, self._scale.to_state(), self.forecast.to_state()]

    def from_state(self, state: Any) -> None:
        """Raises StateError on another version."""
        self._rows, scale, forecast = check_version(state, STATE_VERSION, type(self).__name__)
        self._scale.from_state(scale)
        self.forecast.from_state(forecast)
