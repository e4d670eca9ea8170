"""Section `alerting`: deduplication, grouping, routing, receivers, suppression, alert definitions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

from cronsim import CronSim, CronSimError
from pydantic import Field, ValidationError, ValidationInfo, field_validator

from sentinel.config.definition_triggers import detector_of
from sentinel.config.escalation import EscalationSettings, FlapSettings, ReceiverGroupSettings
from sentinel.config.receivers import ReceiverSettings
from sentinel.config.routes import (
    InhibitRuleSettings,
    MatcherText,
    RouteSettings,
    TimeIntervalSettings,
    Timezone,
    check_timezone,
)
from sentinel.config.types import ConfigModel, Duration, Name, PositiveDuration, PositiveInt, camel
from sentinel.contract.alert_definition import AlertDefinition


class Deduplication(ConfigModel):
    """Equal anomalies within the window are one, with a count."""

    enabled: bool = True
    window: PositiveDuration = 300.0
    fields: list[Literal["detector_id", "application_id", "severity", "tenant_id", "entity", "model", "metric", "user_id"]] = Field(
        default=["detector_id", "application_id", "severity"]
    )


class GroupingSettings(ConfigModel):
    """How alerts become notifications; routes may say otherwise."""

    enabled: bool = True
    group_by: list[str] = Field(default=["application_id", "detector_id"])
    group_wait: Duration = Field(default=30.0, description="From the first alert of a group to its first notification")
    group_interval: PositiveDuration = Field(default=300.0, description="Between notifications about changes of a group")
    repeat_interval: PositiveDuration = Field(default=14400.0, description="Between notifications when nothing changed")


class Routing(ConfigModel):
    """Who is told: the first route that matches, else the default receiver. Without `receivers` and `routes` the built-in ones hold."""

    source: Literal["config-service", "file", "inline"] = "config-service"
    default_receiver: str | None = None
    routes: list[RouteSettings] = Field(default=[], max_length=1000)
    escalation: str | None = Field(default=None, description="Escalation policy of routes that name none")


class MaintenanceWindowSettings(ConfigModel):
    """A recurring time in which matching notifications are held back."""

    name: Name
    schedule: str = Field(description="Cron expression of the start", examples=["0 2 * * 0"])
    duration: PositiveDuration
    timezone: Timezone = "UTC"
    matchers: list[MatcherText] = Field(default=[])

    @field_validator("schedule")
    @classmethod
    def _cron(cls, value: str) -> str:
        try:
            CronSim(value, datetime(2025, 1, 1, tzinfo=UTC))
        except CronSimError as error:
            raise ValueError(f"expected a cron expression of five fields such as 0 2 * * 0 ({error})") from None
        return value

    @field_validator("timezone")
    @classmethod
    def _zone(cls, value: str) -> str:
        return check_timezone(value)


class SuppressionRuleSettings(ConfigModel):
    """Alerts that match are recorded, and nobody is told; with `activeTimeIntervals` only then."""

    name: Name
    matchers: list[MatcherText] = Field(min_length=1)
    active_time_intervals: list[str] = Field(default=[])


class TemplateSettings(ConfigModel):
    """A message: `title` in one line, and `text`. Sandboxed Jinja2, or `{{ .a.b }}`."""

    title: str | None = None
    text: str | None = None


class Suppression(ConfigModel):
    """When nobody is told."""

    rules: list[SuppressionRuleSettings] = Field(default=[], max_length=1000)
    maintenance_windows: list[MaintenanceWindowSettings] = Field(default=[], max_length=200)


class Alerting(ConfigModel):
    """Alert manager."""

    workers: PositiveInt = 1
    resolve_timeout: PositiveDuration = Field(default=300.0, description="An alert without a new anomaly for this long is resolved")
    external_url: str = Field(default="", description="Address that links in notifications start with")
    version: str | None = None
    config_file: str | None = Field(default=None, description="File with `alerts:`, relative to this one")
    deduplication: Deduplication = Deduplication()
    grouping: GroupingSettings = GroupingSettings()
    routing: Routing = Routing()
    receivers: list[ReceiverSettings] = Field(default=[], max_length=500)
    receiver_groups: list[ReceiverGroupSettings] = Field(default=[], max_length=500)
    time_intervals: list[TimeIntervalSettings] = Field(default=[], max_length=500)
    inhibit_rules: list[InhibitRuleSettings] = Field(default=[], max_length=1000)
    escalation_policies: list[EscalationSettings] = Field(default=[], max_length=200)
    flap_damping: FlapSettings = FlapSettings()
    suppression: Suppression = Suppression()
    templates: dict[str, TemplateSettings] = Field(default={}, description="Messages by the name that notification actions use")
    definitions: list[AlertDefinition] = Field(default=[], max_length=1000)

    @field_validator("receivers")
    @classmethod
    def _unique_receivers(cls, receivers: list[ReceiverSettings]) -> list[ReceiverSettings]:
        _refuse_doubles([receiver.name for receiver in receivers], "receiver names")
        return receivers

    @field_validator("receiver_groups", "time_intervals", "escalation_policies")
    @classmethod
    def _unique_names(cls, named: list[Any], info: ValidationInfo) -> list[Any]:
        _refuse_doubles([entry.name for entry in named], f"names in {camel(info.field_name or '')}")
        return named

    @field_validator("definitions")
    @classmethod
    def _sound_definitions(cls, definitions: list[AlertDefinition]) -> list[AlertDefinition]:
        _refuse_doubles([definition.alert_id for definition in definitions], "alert ids")
        for definition in definitions:
            if definition.schedule and definition.schedule.timezone:
                check_timezone(definition.schedule.timezone)
            _check_trigger(definition)
        return definitions


def _check_trigger(definition: AlertDefinition) -> None:
    from sentinel.config.detection import Detector

    try:
        derived = detector_of(definition.model_dump(mode="json"))
        if derived is not None:
            Detector.model_validate(derived)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        raise ValueError(f"definition {definition.alert_id}: {place}: {first['msg'].removeprefix('Value error, ')}") from None
    except ValueError as error:
        raise ValueError(f"definition {definition.alert_id}: {error}") from None


def _refuse_doubles(names: list[str], what: str) -> None:
    doubled = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if doubled:
        raise ValueError(f"expected different {what}, found twice: {', '.join(doubled)}")
