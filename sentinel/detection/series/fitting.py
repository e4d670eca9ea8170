"""Fit the forecasts of `fitted`: ARIMA by statsmodels, a curve by Prophet. Seconds of work: never in the job, only in commands and backtests."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from sentinel.detection.series.fitted import DAY_MS, MONDAY_MS, ArimaForecast, CurveForecast, Forecast
from sentinel.detection.series.verdict import SeriesDetector, Verdict

FEWEST_ROWS = 50
MOST_ROWS = 2_000
ARIMA_ORDER = (2, 1, 1)
DAY_PARTS, WEEK_PARTS = 96, 168
FIRST_FIT_ROWS = 200


def fit_arima(times_ms: list[int], values: list[float]) -> dict[str, Any]:
    """Coefficients for `ArimaForecast` from the last values, taken as equally spaced.

    Raises ValueError when there are too few values or they have no variance.
    """
    recent = _recent(values)
    from statsmodels.tsa.arima.model import ARIMA

    p, d, q = ARIMA_ORDER
    with warnings.catch_warnings():
        # It warns of start values and slow convergence; a poor fit shows in its residuals, which the detector measures itself.
        warnings.simplefilter("ignore")
        try:
            found = ARIMA(recent, order=ARIMA_ORDER, trend="n").fit(method_kwargs={"maxiter": 50})
        except np.linalg.LinAlgError as error:
            raise ValueError(f"ARIMA cannot be fitted to these values ({error})") from None
    numbers = dict(zip(found.model.param_names, (float(v) for v in found.params), strict=True))
    ar, ma = [numbers[f"ar.L{lag}"] for lag in range(1, p + 1)], [numbers[f"ma.L{lag}"] for lag in range(1, q + 1)]
    sigma = float(np.sqrt(max(0.0, numbers["sigma2"])))
    return {"kind": "arima", "d": d, "ar": _short(ar), "ma": _short(ma), "mean": 0.0, "sigma": float(f"{sigma:.6g}")}


def fit_prophet(times_ms: list[int], values: list[float]) -> dict[str, Any]:
    """A trend and curves for `CurveForecast` from the last values. Raises ValueError as `fit_arima`."""
    recent = _recent(values)
    import pandas as pd

    logging.getLogger("prophet.plot").disabled = True
    for name in ("prophet", "cmdstanpy"):
        logging.getLogger(name).setLevel(logging.ERROR)
    from prophet import Prophet

    stamps = np.array(times_ms[-len(recent) :], dtype="datetime64[ms]")
    span_ms = times_ms[-1] - times_ms[-len(recent)]
    daily, weekly = span_ms >= 2 * DAY_MS, span_ms >= 14 * DAY_MS
    model = Prophet(daily_seasonality=daily, weekly_seasonality=weekly, yearly_seasonality=False, uncertainty_samples=0)
    model.fit(pd.DataFrame({"ds": stamps.astype("datetime64[ns]"), "y": recent}))

    def predicted(at_ms: Any) -> Any:
        return model.predict(pd.DataFrame({"ds": np.asarray(at_ms).astype("datetime64[ms]").astype("datetime64[ns]")}))

    end_ms = times_ms[-1]
    trend = predicted([end_ms, end_ms + DAY_MS])["trend"].tolist()
    day = MONDAY_MS + (np.arange(DAY_PARTS) + 0.5) * DAY_MS / DAY_PARTS
    week = MONDAY_MS + (np.arange(WEEK_PARTS) + 0.5) * 7 * DAY_MS / WEEK_PARTS
    return {
        "kind": "prophet",
        "origin": end_ms,
        "level": float(f"{trend[0]:.6g}"),
        "slope": float(f"{trend[1] - trend[0]:.6g}"),
        "daily": _short(predicted(day.astype(np.int64))["daily"].tolist()) if daily else [],
        "weekly": _short(predicted(week.astype(np.int64))["weekly"].tolist()) if weekly else [],
    }


FITS: dict[str, tuple[Callable[[list[int], list[float]], dict[str, Any]], Callable[[dict[str, Any]], Forecast]]] = {
    "arima": (fit_arima, ArimaForecast),
    "prophet": (fit_prophet, CurveForecast),
}


class RefittingDetector:
    """For backtests: fits a forecast to the rows so far after 200, 400, 800 … of them, and judges the following ones with it."""

    def __init__(self, kind: str, make: Callable[[Forecast], SeriesDetector]) -> None:
        self._fit, self._build = FITS[kind]
        self._make = make
        self._times: list[int] = []
        self._values: list[float] = []
        self._rows, self._next = 0, FIRST_FIT_ROWS
        self._detector: SeriesDetector | None = None

    def update(self, time_ms: int, value: float) -> Verdict:
        """Judge one value by what was fitted to those before it."""
        verdict = self._detector.update(time_ms, value) if self._detector else Verdict(0.0, False, value)
        self._times.append(time_ms)
        self._values.append(value)
        self._rows += 1
        if self._rows == self._next:
            self._refit()
        return verdict

    def _refit(self) -> None:
        self._next = min(self._next * 2, self._next + MOST_ROWS)
        try:
            forecast = self._build(self._fit(self._times, self._values))
        except ValueError:
            # Nothing to fit (a constant, say): the forecast before stays in force.
            return
        self._detector = self._make(forecast)
        for time_ms, value in zip(self._times[-FEWEST_ROWS * 2 :], self._values[-FEWEST_ROWS * 2 :], strict=True):
            self._detector.update(time_ms, value)
        del self._times[:-MOST_ROWS], self._values[:-MOST_ROWS]

    def to_state(self) -> list[Any]:
        """A backtest is never stopped half-way."""
        raise TypeError("a refitting detector keeps no state")

    def from_state(self, state: Any) -> None:
        """See `to_state`."""
        raise TypeError("a refitting detector keeps no state")


def _recent(values: list[float]) -> list[float]:
    recent = values[-MOST_ROWS:]
    if len(recent) < FEWEST_ROWS:
        raise ValueError(f"expected at least {FEWEST_ROWS} values to fit a forecast to, found {len(recent)}")
    if min(recent) == max(recent):
        raise ValueError("expected values that vary; a constant needs no forecast")
    return recent


def _short(numbers: list[float]) -> list[float]:
    return [float(f"{number:.6g}") for number in numbers]
