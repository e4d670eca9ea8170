"""Settings of the strategies on the series of a metric's values."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field, field_validator

from sentinel.config.learning import LearningParams
from sentinel.config.routes import check_timezone
from sentinel.config.types import ConfigModel, MetricName, PositiveDuration


class SeriesParams(LearningParams):
    """`auto`, and what all detectors of a metric's series share."""

    metric: MetricName
    direction: Literal["up", "down", "both"] | None = Field(default=None, description="Default: both")


class RobustParams(SeriesParams):
    """Distance from the median of the window, in median absolute deviations."""

    threshold: float | None = Field(default=None, gt=0, description="Standard deviations (1.4826 median absolute deviations); default 5")


class SeasonalParams(RobustParams):
    """Distance from the usual of this hour of this weekday."""

    threshold: float | None = Field(default=None, gt=0, description="Standard deviations; default 5")
    timezone: str = Field(default="UTC", description="Whose hours and weekdays count")
    holidays: list[date] = Field(default=[], max_length=1000, description="Days that are like each other and like no weekday")

    @field_validator("timezone")
    @classmethod
    def _known(cls, value: str) -> str:
        return check_timezone(value)


class ChangePointParams(SeriesParams):
    """A level that moved for good."""

    threshold: float | None = Field(default=None, gt=0, description="Standard deviations that must have added up; default 12")


class FlatLineParams(SeriesParams):
    """A value that stands still."""

    duration: PositiveDuration | None = Field(default=None, description="Shortest stand-still that can be an anomaly; default: the window")


class ArimaFit(ConfigModel):
    """Coefficients of ARIMA(p, d, q), written by `sentinel fit`."""

    kind: Literal["arima"] = "arima"
    d: Literal[0, 1] = 1
    ar: list[float] = Field(default=[], max_length=24)
    ma: list[float] = Field(default=[], max_length=24)
    mean: float = 0.0
    sigma: float = Field(gt=0)


class ProphetFit(ConfigModel):
    """A trend and the curves of a day and of a week, written by `sentinel fit`."""

    kind: Literal["prophet"] = "prophet"
    origin: int = Field(description="Epoch ms at which the trend is `level`")
    level: float
    slope: float = Field(default=0.0, description="Change of the trend a day")
    daily: list[float] = Field(default=[], max_length=1440)
    weekly: list[float] = Field(default=[], max_length=1440)


class ArimaParams(SeriesParams):
    """Distance from an ARIMA forecast that was fitted beforehand."""

    threshold: float | None = Field(default=None, gt=0, description="Standard deviations; default 5")
    fitted: ArimaFit


class ProphetParams(SeriesParams):
    """Distance from a Prophet forecast that was fitted beforehand."""

    threshold: float | None = Field(default=None, gt=0, description="Standard deviations; default 5")
    fitted: ProphetFit
