"""Detection strategies: what each accepts in its `config`, and which detector types it belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, field_validator

from sentinel.config.types import ConfigModel, Duration, MetricName, Name, PositiveDuration, PositiveInt, Ratio, Regex

Condition = Literal["greater_than", "greater_or_equal", "less_than", "less_or_equal", "equal", "not_equal"]
_SYMBOLS: Final = {">": "greater_than", ">=": "greater_or_equal", "<": "less_than", "<=": "less_or_equal", "==": "equal", "!=": "not_equal"}


class StatisticalParams(ConfigModel):
    """What all detectors share that compare a metric with its own past. A detector compares windows, judged once a second."""

    metric: MetricName
    window: PositiveDuration = Field(60.0, description="Length of the window that is judged")
    baseline: PositiveDuration = Field(1800.0, description="How much of the past the window is compared with")
    warmup: Duration = Field(120.0, description="How much past there must be before the first judgement")
    sensitivity: Literal["low", "medium", "high"] = "medium"
    direction: Literal["up", "down", "both"] = "up"
    consecutive: PositiveInt = Field(1, description="Judgements in a row that must be beyond the threshold")
    minimum: float | None = Field(None, description="Smallest observed value that can be an anomaly, in the unit of the metric")
    minimum_change: float = Field(0.0, ge=0, description="Smallest change from the baseline that can be an anomaly (0.5 = by half)")
    minimum_events: int = Field(10, ge=0, description="Calls that the window must hold to be judged")
    by: list[Literal["application", "model"]] = Field(["application"], description="Beside the tenant, what has a baseline of its own")


class ZScoreParams(StatisticalParams):
    """Standard deviations from the baseline's mean."""

    threshold: float = Field(3.0, gt=0, description="Standard deviations")


class MovingAverageParams(StatisticalParams):
    """Relative deviation from the moving average."""

    threshold: float = Field(0.5, gt=0, description="Relative deviation (0.5 = 50 %)")


class PercentileParams(StatisticalParams):
    """Beyond a percentile of the baseline."""

    percentile: float = Field(99.0, gt=0, lt=100)
    threshold: float = Field(1.0, gt=0, description="Factor on the percentile's value")


class ThresholdParams(ConfigModel):
    """A fixed limit: on each event when there is no window, else on the metric over the window."""

    metric: MetricName
    value: float
    condition: Annotated[Condition, BeforeValidator(lambda value: _SYMBOLS.get(value, value) if isinstance(value, str) else value)] = "greater_than"
    window: PositiveDuration | None = None
    consecutive: PositiveInt = 1
    minimum_events: int = Field(1, ge=0, description="Calls that the window must hold to be judged")


class Pattern(ConfigModel):
    """One regular expression with a name for reports."""

    id: Name
    pattern: Regex
    score: Ratio = Field(0.9, description="Confidence when it matches")


def _named_patterns(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    return [{"id": f"pattern-{number}", "pattern": item} if isinstance(item, str) else item for number, item in enumerate(value, 1)]


class PatternParams(ConfigModel):
    """Regular expressions on the text of events; a plain string is a pattern named by its place."""

    patterns: Annotated[list[Pattern], BeforeValidator(_named_patterns)] = Field(min_length=1, max_length=500)
    fields: list[Literal["prompt", "response", "message"]] = Field(["prompt"], min_length=1)
    minimum: PositiveInt = Field(1, description="Patterns that must match")

    @field_validator("patterns")
    @classmethod
    def _unique(cls, patterns: list[Pattern]) -> list[Pattern]:
        names = [pattern.id for pattern in patterns]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ValueError(f"expected different ids, found twice: {', '.join(doubled)}")
        return patterns


class SilenceParams(ConfigModel):
    """An application that used to send events no longer does."""

    window: PositiveDuration = Field(30.0, description="Silence of this length is an anomaly")
    warmup: Duration = Field(120.0, description="How long the application must have been seen before")
    minimum: float = Field(0.2, ge=0, description="Events per second that the application must have had before")
    metric: MetricName = "events_per_second"


class PeerParams(ConfigModel):
    """One user against the others and the past of the same application."""

    metric: MetricName = "top_user_events"
    window: PositiveDuration = Field(60.0, description="Length of the window that is judged")
    baseline: PositiveDuration = 1800.0
    warmup: Duration = 120.0
    threshold: float = Field(6.0, gt=0, description="Robust standard deviations from the usual")
    sensitivity: Literal["low", "medium", "high"] = "medium"
    consecutive: PositiveInt = 1
    minimum: float | None = Field(None, description="Smallest observed value that can be an anomaly, in the unit of the metric")
    minimum_change: float = Field(0.0, ge=0)


class ClassifierParams(ConfigModel):
    """A trained text classifier."""

    model: str
    threshold: Ratio = 0.85
    features: list[str] = []


class OtherParams(ConfigModel):
    """Settings of strategies that this release does not run: checked for shape only."""

    model_config = {"extra": "allow"}
    metric: MetricName | None = None
    window: PositiveDuration | None = None
    threshold: float | None = None


@dataclass(frozen=True)
class Strategy:
    """One strategy: the model of its `config`, and the detector types that may name it."""

    params: type[ConfigModel]
    types: frozenset[str]


def _strategy(params: type[ConfigModel], *types: str) -> Strategy:
    return Strategy(params, frozenset(types))


STRATEGIES: Final[dict[str, Strategy]] = {
    "zscore": _strategy(ZScoreParams, "statistical"),
    "moving_average": _strategy(MovingAverageParams, "statistical"),
    "percentile": _strategy(PercentileParams, "statistical"),
    "arima": _strategy(OtherParams, "statistical"),
    "prophet": _strategy(OtherParams, "statistical"),
    "threshold": _strategy(ThresholdParams, "rule"),
    "pattern": _strategy(PatternParams, "rule"),
    "silence": _strategy(SilenceParams, "rule", "statistical", "behavioral"),
    "cep": _strategy(OtherParams, "rule"),
    "composite": _strategy(OtherParams, "rule"),
    "aggregation": _strategy(OtherParams, "rule"),
    "classifier": _strategy(ClassifierParams, "ml"),
    "isolation_forest": _strategy(OtherParams, "ml"),
    "autoencoder": _strategy(OtherParams, "ml"),
    "lstm": _strategy(OtherParams, "ml"),
    "dbscan": _strategy(OtherParams, "ml"),
    "kmeans": _strategy(OtherParams, "ml"),
    "peer": _strategy(PeerParams, "behavioral"),
    "user_profile": _strategy(OtherParams, "behavioral"),
    "entity_relationship": _strategy(OtherParams, "behavioral"),
    "access_pattern": _strategy(OtherParams, "behavioral"),
}
"""Every strategy of the specification by name."""
