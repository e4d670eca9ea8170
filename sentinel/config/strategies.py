"""Detection strategies: what each accepts in its `config`, and which detector types it belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from sentinel.config.behaviour import AccessPatternParams, EntityRelationshipParams, UserProfileParams
from sentinel.config.learning import LearningParams, Level, Sensitivity
from sentinel.config.plugins import load_plugin, plugin_points
from sentinel.config.rules import AggregationParams, CepParams, CompositeParams, Condition
from sentinel.config.series import (
    ArimaParams,
    ChangePointParams,
    FlatLineParams,
    ProphetParams,
    RobustParams,
    SeasonalParams,
    SeriesParams,
)
from sentinel.config.types import ConfigModel, Duration, MetricName, Name, PositiveDuration, PositiveInt, Ratio, Regex


class StatisticalParams(LearningParams):
    """Z-score and moving average: the threshold counts standard deviations."""

    metric: MetricName
    threshold: float | None = Field(default=None, gt=0, description="Standard deviations")


class PercentileParams(LearningParams):
    """Beyond a percentile of the past."""

    metric: MetricName
    percentile: float | None = Field(default=None, gt=0, lt=100)
    factor: float | None = Field(default=None, gt=0, description="The limit is this multiple of the percentile")


class ThresholdParams(ConfigModel):
    """A fixed limit: on each event when there is no window, else on the metric over the window."""

    metric: MetricName
    value: float
    condition: Condition = "greater_than"
    window: PositiveDuration | None = None
    consecutive: PositiveInt = 1
    minimum_events: int = Field(default=1, ge=0, description="Calls that the window must hold to be judged")

    @model_validator(mode="after")
    def _consecutive_windows(self) -> Self:
        if self.consecutive > 1 and self.window is None:
            raise ValueError("expected a window beside consecutive: single events are not counted in a row")
        return self


class Pattern(ConfigModel):
    """One regular expression with a name for reports."""

    id: Name
    pattern: Regex


def _named_patterns(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    return [{"id": f"pattern-{number}", "pattern": item} if isinstance(item, str) else item for number, item in enumerate(value, 1)]


class PatternParams(ConfigModel):
    """Regular expressions on the text of events; a plain string is a pattern named by its place."""

    patterns: Annotated[list[Pattern], BeforeValidator(_named_patterns)] = Field(min_length=1, max_length=500)
    fields: list[Literal["prompt", "response", "message"]] = Field(default=["prompt"], min_length=1)

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

    metric: MetricName = "events_per_second"
    minimum: PositiveDuration | None = Field(default=None, description="Shortest silence that can be an anomaly")
    expected_events: float | None = Field(default=None, gt=0, description="How many events must be missing by the usual rate")
    window: PositiveDuration | None = Field(default=None, description="Half-life of the learned rate")
    evaluation: PositiveDuration | None = None
    warmup: Duration | None = Field(default=None, description="How long the application must have been seen before")
    repeat: PositiveDuration | None = None


class PeerParams(LearningParams):
    """The most active user against the usual of the same application."""

    metric: MetricName = "top_user_events"
    threshold: float | None = Field(default=None, gt=0, description="Standard deviations")


class ClassifierParams(ConfigModel):
    """The prompt injection and jailbreak classifier (`sentinel.injection`)."""

    model: Literal["default", "prompt-injection-detector-v2"] = Field(
        default="default", description="The model of this release, by either name"
    )
    threshold: Ratio = Field(default=0.85, description="Score from which a text is an anomaly")
    fields: list[Literal["prompt", "response", "message"]] = Field(
        default=["prompt"], min_length=1, description="Texts of an event that are scored"
    )
    features: list[Literal["prompt_text", "response_text", "embedding"]] = Field(
        default=[], description="The specification's way to name the texts; the embedding is always used"
    )

    @model_validator(mode="before")
    @classmethod
    def _fields_of_features(cls, value: Any) -> Any:
        if not isinstance(value, dict) or "fields" in value or not isinstance(value.get("features"), list):
            return value
        named = [feature.removesuffix("_text") for feature in value["features"] if feature in ("prompt_text", "response_text")]
        return {**value, "fields": named} if named else value


class ModelParams(ConfigModel):
    """A model of `sentinel models`, trained on pane vectors: how rare must a minute be to be an anomaly?"""

    model: Name | None = Field(default=None, description="Name of the model, whose promoted version is used; default: the strategy's name")
    threshold: float | None = Field(default=None, gt=0, description="Standard deviations; default 4.0")
    sensitivity: Sensitivity | None = Field(default=None, description="high judges stricter than medium, low milder")
    consecutive: PositiveInt | None = Field(
        default=None, description="Judgements in a row (one every 10 s) that must be beyond the threshold"
    )
    min_count: int | None = Field(default=None, ge=1, description="Calls that the judged minute must hold")
    repeat: PositiveDuration | None = Field(default=None, description="Least time between two detections of a lasting anomaly")
    level: Level | None = Field(default=None, description="As the model was trained: for each model of an application, or for applications")


class CustomParams(ConfigModel):
    """A detector of another package (docs/writing-a-detector.md)."""

    detector: str = Field(description="Name of its entry point")
    params: dict[str, Any] = Field(default={}, description="What the detector takes; it checks them itself")
    level: Level = Field(default="application", description="What has a detector of its own")
    consecutive: PositiveInt = Field(default=1, description="Findings in a row before the first detection")
    repeat: PositiveDuration = Field(default=10.0, description="Least time between two detections of a lasting anomaly")

    @field_validator("detector")
    @classmethod
    def _installed(cls, name: str) -> str:
        points = plugin_points()
        if name not in points:
            raise PydanticCustomError("unknown_name", "expected an installed detector", {"valid": sorted(points)})
        return name

    @model_validator(mode="after")
    def _accepts(self) -> Self:
        detector = load_plugin(self.detector)
        try:
            detector(self.params)
        except Exception as error:
            raise ValueError(f"expected params that {self.detector} takes: {type(error).__name__}: {error}") from error
        return self


class OtherParams(ConfigModel):
    """Settings of strategies that this release does not run: checked for shape only."""

    model_config = ConfigDict(extra="allow")
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
    "zscore": _strategy(StatisticalParams, "statistical"),
    "moving_average": _strategy(StatisticalParams, "statistical"),
    "percentile": _strategy(PercentileParams, "statistical"),
    "auto": _strategy(SeriesParams, "statistical"),
    "robust": _strategy(RobustParams, "statistical"),
    "seasonal": _strategy(SeasonalParams, "statistical"),
    "change_point": _strategy(ChangePointParams, "statistical"),
    "flat_line": _strategy(FlatLineParams, "statistical"),
    "arima": _strategy(ArimaParams, "statistical"),
    "prophet": _strategy(ProphetParams, "statistical"),
    "threshold": _strategy(ThresholdParams, "rule"),
    "pattern": _strategy(PatternParams, "rule"),
    "silence": _strategy(SilenceParams, "rule", "statistical", "behavioral"),
    "cep": _strategy(CepParams, "rule"),
    "composite": _strategy(CompositeParams, "rule"),
    "aggregation": _strategy(AggregationParams, "rule"),
    "classifier": _strategy(ClassifierParams, "ml"),
    "isolation_forest": _strategy(ModelParams, "ml"),
    "autoencoder": _strategy(ModelParams, "ml"),
    "lstm": _strategy(ModelParams, "ml"),
    "dbscan": _strategy(ModelParams, "ml"),
    "kmeans": _strategy(ModelParams, "ml"),
    "peer": _strategy(PeerParams, "behavioral"),
    "user_profile": _strategy(UserProfileParams, "behavioral"),
    "entity_relationship": _strategy(EntityRelationshipParams, "behavioral"),
    "custom": _strategy(CustomParams, "statistical", "rule", "ml", "behavioral"),
    "access_pattern": _strategy(AccessPatternParams, "behavioral"),
}
"""Every strategy of the specification by name."""
