"""Section `detection`: detectors, correlation, models."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, SerializeAsAny, ValidationInfo, WithJsonSchema, field_validator, model_validator
from pydantic_core import PydanticCustomError

from sentinel.config.runnable import RULES, RUNNABLE
from sentinel.config.shield import ShieldKind, ShieldSettings
from sentinel.config.strategies import STRATEGIES
from sentinel.config.types import ConfigModel, Name, PositiveDuration, PositiveInt
from sentinel.metrics_vocabulary import METRICS, metric_names

MAX_DETECTORS = 1000
Severity = Literal["info", "warning", "critical"]
Glob = Annotated[str, Field(min_length=1, max_length=256)]


class ScopeFilter(ConfigModel):
    """Where a detector looks; globs with `*` and `?`; an empty list means everywhere."""

    tenants: list[Glob] = Field(default=[])
    applications: list[Glob] = Field(default=[])
    models: list[Glob] = Field(default=[])


class DetectorAction(ConfigModel):
    """What follows a hit: `alert` (a name) with a `severity`, or `shield` (an enforcement action) with its settings."""

    alert: Name | None = None
    severity: Severity | None = None
    shield: ShieldKind | None = None
    config: ShieldSettings | None = Field(default=None, description="Settings of the Shield action")

    @model_validator(mode="before")
    @classmethod
    def _typed_form(cls, value: Any) -> Any:
        """`{type: shield, config: {action: block, …}}` is `{shield: block, config: {…}}`."""
        if isinstance(value, dict) and value.get("type") == "shield" and isinstance(value.get("config"), dict):
            settings = dict(value["config"])
            rest = {key: item for key, item in value.items() if key not in ("type", "config")}
            return {"shield": settings.pop("action", None), **rest, "config": settings}
        return value

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if self.alert is None and self.shield is None and self.severity is None:
            raise ValueError("expected alert, severity or shield")
        return self


class Detector(ConfigModel):
    """One detector. What `config` accepts depends on the strategy (`sentinel.config.strategies`)."""

    id: Name
    type: Literal["statistical", "rule", "ml", "behavioral"]
    strategy: Annotated[str, Field(json_schema_extra={"enum": sorted(STRATEGIES)}, validate_default=True)] = ""
    name: str = ""
    description: str = ""
    enabled: bool = True
    scope: ScopeFilter = ScopeFilter()
    config: Annotated[SerializeAsAny[ConfigModel], WithJsonSchema({"type": "object"})] = Field(default_factory=dict, validate_default=True)
    actions: list[DetectorAction] = Field(default=[])

    @field_validator("strategy", mode="before")
    @classmethod
    def _known_strategy(cls, value: Any, info: ValidationInfo) -> Any:
        if value in ("", None) and info.data.get("type") == "ml":
            return "classifier"
        if not isinstance(value, str) or value not in STRATEGIES:
            raise PydanticCustomError("unknown_name", "expected a strategy", {"valid": sorted(STRATEGIES)})
        kind = info.data.get("type")
        if kind is not None and kind not in STRATEGIES[value].types:
            raise ValueError(f"expected a strategy of type {kind}; {value} belongs to type {' or '.join(sorted(STRATEGIES[value].types))}")
        return value

    @field_validator("config", mode="wrap")
    @classmethod
    def _config_of_strategy(cls, value: Any, handler: Any, info: ValidationInfo) -> ConfigModel:
        strategy = STRATEGIES.get(info.data.get("strategy", ""))
        if isinstance(value, ConfigModel):
            return value
        if not isinstance(value, dict):
            raise ValueError("expected a mapping")
        if strategy is None:
            return ConfigModel()
        return strategy.params.model_validate(value)

    @model_validator(mode="after")
    def _metric_at_level(self) -> Self:
        metric = getattr(self.config, "metric", None)
        if metric is None or self.strategy not in RUNNABLE or self.strategy in RULES:
            return self
        if self.strategy == "peer":
            needed = "user"
        elif self.strategy == "threshold" and getattr(self.config, "window", None) is None:
            # Without a window the limit holds for each event, or, for what only panes have, for each short window.
            return self
        else:
            needed = "pane"
        if needed not in METRICS[metric].levels:
            valid = metric_names("user" if needed == "user" else "pane")
            raise ValueError(
                f"expected for strategy {self.strategy} a metric that windows have, one of {', '.join(valid)}; {metric} is not"
            )
        return self


class Detectors(ConfigModel):
    """The detectors in force. Without `items` the built-in ones are."""

    source: Literal["config-service", "file", "inline"] = "config-service"
    sync_interval: PositiveDuration = Field(default=30.0, description="Polling fallback behind the change notification")
    version: str | None = None
    last_updated: str | None = None
    config_file: str | None = Field(default=None, description="File with `detectors:`, relative to this one")
    items: list[Detector] = Field(default=[], max_length=MAX_DETECTORS)

    @field_validator("items")
    @classmethod
    def _unique_ids(cls, items: list[Detector]) -> list[Detector]:
        ids = [item.id for item in items]
        doubled = sorted({name for name in ids if ids.count(name) > 1}) if len(set(ids)) < len(ids) else []
        if doubled:
            raise ValueError(f"expected different detector ids, found twice: {', '.join(doubled)}")
        return items


class MlModels(ConfigModel):
    """Where trained models lie."""

    path: str = "models"
    auto_reload: bool = True
    reload_interval: PositiveDuration = 300.0


class CorrelationSettings(ConfigModel):
    """Which anomalies of one tenant and application belong together."""

    enabled: bool = True
    window: PositiveDuration = 600.0
    max_related_events: PositiveInt = 50


class LocalDetector(ConfigModel):
    """A light detector of a sidecar."""

    type: Literal["threshold", "pattern"]
    low_latency: bool = False
    fast_match: bool = False


class LocalDetection(ConfigModel):
    """What a sidecar detects itself."""

    enabled: bool = True
    detectors: list[LocalDetector] = Field(default=[])


class RemoteDetection(ConfigModel):
    """What a sidecar leaves to the centre."""

    enabled: bool = True
    endpoint: str = ""
    async_: bool = Field(default=True, alias="async")


class Detection(ConfigModel):
    """Detection engine."""

    workers: PositiveInt = 2
    batch_size: PositiveInt = 100
    processing_timeout: PositiveDuration = Field(
        default=5.0,
        description="A detector that takes longer for a batch of events or for a second is reported, and the slowest of those that keep a shard longer",
    )
    detectors: Detectors = Detectors()
    ml_models: MlModels = MlModels()
    correlation: CorrelationSettings = CorrelationSettings()
    local: LocalDetection | None = None
    remote: RemoteDetection | None = None
