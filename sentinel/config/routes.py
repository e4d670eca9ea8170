"""Routes, times and inhibition of section `alerting`, with Alertmanager's meaning."""

from __future__ import annotations

from typing import Annotated, Any, Final, Self
from zoneinfo import available_timezones

from pydantic import BeforeValidator, Field, field_validator, model_validator

from sentinel.config.matchers import parse_matcher
from sentinel.config.time_ranges import minutes_of, range_of
from sentinel.config.types import ConfigModel, Duration, PositiveDuration

MAX_ROUTE_DEPTH: Final = 20


def _matcher(value: Any) -> Any:
    if isinstance(value, str):
        parse_matcher(value)
    return value


def one_or_many(value: Any) -> Any:
    """One name is a list of one."""
    return [value] if isinstance(value, str) else value


MatcherText = Annotated[str, BeforeValidator(_matcher), Field(examples=['severity="critical"', 'team=~"ml|platform"'])]
Names = Annotated[list[str], BeforeValidator(one_or_many)]
Timezone = Annotated[str, Field(examples=["UTC", "Europe/Berlin"])]


class RouteSettings(ConfigModel):
    """One route. `match` is short for matchers with `=`; all of them must hold. What is left out is the parent's, but not the intervals."""

    match: dict[str, str] = Field(default={})
    matchers: list[MatcherText] = Field(default=[])
    receivers: Names | None = Field(default=None, min_length=1)
    group_by: list[str] | None = None
    group_wait: Duration | None = None
    group_interval: PositiveDuration | None = None
    repeat_interval: PositiveDuration | None = None
    continue_: bool = Field(default=False, alias="continue", description="Go on with the next route after this one matched")
    mute_time_intervals: list[str] = Field(default=[], description="Times in which nobody is told")
    active_time_intervals: list[str] = Field(default=[], description="The only times in which anybody is told")
    escalation: str | None = Field(default=None, description="Name of an escalation policy")
    routes: list[RouteSettings] = Field(default=[], max_length=1000, description="More exact routes below this one")

    @field_validator("group_by")
    @classmethod
    def _whole(cls, group_by: list[str] | None) -> list[str] | None:
        if group_by and "..." in group_by and len(group_by) > 1:
            raise ValueError("expected '...' (every label) alone, found other labels beside it")
        return group_by

    @model_validator(mode="after")
    def _not_too_deep(self) -> Self:
        level, depth = self.routes, 0
        while level:
            level, depth = [child for route in level for child in route.routes], depth + 1
            if depth > MAX_ROUTE_DEPTH:
                raise ValueError(f"expected at most {MAX_ROUTE_DEPTH} routes inside each other")
        return self


class TimesOfDay(ConfigModel):
    """From `startTime` up to `endTime` (not included), HH:MM; over midnight takes two."""

    start_time: str
    end_time: str

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if minutes_of(self.start_time) >= minutes_of(self.end_time):
            raise ValueError("expected startTime before endTime; a night needs two entries, one up to 24:00 and one from 00:00")
        return self


class TimeRangeSettings(ConfigModel):
    """Times that satisfy each field given: any of its entries. Ranges as `monday:friday`, `1:5`, `-3:-1`, `may:august`, `2025:2027`."""

    times: list[TimesOfDay] = Field(default=[])
    weekdays: list[str] = Field(default=[])
    days_of_month: list[str | int] = Field(default=[])
    months: list[str | int] = Field(default=[])
    years: list[str | int] = Field(default=[])
    location: Timezone = "UTC"

    @field_validator("weekdays", "days_of_month", "months", "years")
    @classmethod
    def _ranges(cls, value: list[str | int], info: Any) -> list[str | int]:
        for entry in value:
            range_of(info.field_name, entry)
        return value

    @field_validator("location")
    @classmethod
    def _zone(cls, value: str) -> str:
        return check_timezone(value)


class TimeIntervalSettings(ConfigModel):
    """A name for times, to mute routes or to keep them active."""

    name: str = Field(min_length=1, max_length=200)
    time_intervals: list[TimeRangeSettings] = Field(default=[], max_length=200)


class InhibitRuleSettings(ConfigModel):
    """While a source fires, targets with the same values of `equal` are held back."""

    name: str | None = None
    source_matchers: list[MatcherText] = Field(default=[])
    target_matchers: list[MatcherText] = Field(default=[])
    equal: list[str] = Field(default=[])


def check_timezone(name: str) -> str:
    """The name, if the IANA database has it.

    Raises:
        ValueError: when it has not.
    """
    if name not in available_timezones():
        raise ValueError(f"expected an IANA time zone such as UTC or Europe/Berlin, found {name!r}")
    return name
