"""Section `alerting`: deduplication, grouping, routing, receivers, suppression, alert definitions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from cronsim import CronSim, CronSimError
from pydantic import BeforeValidator, Field, field_validator

from sentinel.config.matchers import parse_matcher
from sentinel.config.receivers import ReceiverSettings
from sentinel.config.types import ConfigModel, Duration, Name, PositiveDuration, PositiveInt
from sentinel.contract.alert_definition import AlertDefinition


def _matcher(value: Any) -> Any:
    if isinstance(value, str):
        parse_matcher(value)
    return value


def _one_or_many(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


MatcherText = Annotated[str, BeforeValidator(_matcher), Field(examples=['severity="critical"', 'team=~"ml|platform"'])]
Timezone = Annotated[str, Field(examples=["UTC", "Europe/Berlin"])]


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


class RouteSettings(ConfigModel):
    """One route. `match` is short for matchers with `=`; all of them must hold."""

    match: dict[str, str] = Field(default={})
    matchers: list[MatcherText] = Field(default=[])
    receivers: Annotated[list[Name], BeforeValidator(_one_or_many)] = Field(min_length=1)
    group_by: list[str] | None = None
    group_wait: Duration | None = None
    group_interval: PositiveDuration | None = None
    repeat_interval: PositiveDuration | None = None
    continue_: bool = Field(default=False, alias="continue", description="Go on with the next route after this one matched")


class Routing(ConfigModel):
    """Who is told: the first route that matches, else the default receiver. Without `receivers` and `routes` the built-in ones hold."""

    source: Literal["config-service", "file", "inline"] = "config-service"
    default_receiver: Name | None = None
    routes: list[RouteSettings] = Field(default=[], max_length=1000)


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


class Suppression(ConfigModel):
    """When nobody is told."""

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
    suppression: Suppression = Suppression()
    definitions: list[AlertDefinition] = Field(default=[], max_length=1000)

    @field_validator("receivers")
    @classmethod
    def _unique_receivers(cls, receivers: list[ReceiverSettings]) -> list[ReceiverSettings]:
        _refuse_doubles([receiver.name for receiver in receivers], "receiver names")
        return receivers

    @field_validator("definitions")
    @classmethod
    def _sound_definitions(cls, definitions: list[AlertDefinition]) -> list[AlertDefinition]:
        _refuse_doubles([definition.alert_id for definition in definitions], "alert ids")
        for definition in definitions:
            if definition.schedule and definition.schedule.timezone:
                check_timezone(definition.schedule.timezone)
        return definitions


def check_timezone(name: str) -> str:
    """The name, if the IANA database has it.

    Raises:
        ValueError: when it has not.
    """
    if name not in available_timezones():
        raise ValueError(f"expected an IANA time zone such as UTC or Europe/Berlin, found {name!r}")
    return name


def _refuse_doubles(names: list[str], what: str) -> None:
    doubled = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if doubled:
        raise ValueError(f"expected different {what}, found twice: {', '.join(doubled)}")
