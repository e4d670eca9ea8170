"""The alerting part of the configuration as workers see it: immutable structs, seconds as floats, no pydantic."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Severity = Literal["info", "warning", "critical"]


class Grouping(msgspec.Struct, frozen=True):
    """How alerts become notifications. A route or a definition may say otherwise."""

    enabled: bool = True
    group_by: tuple[str, ...] = ("application_id", "detector_id")
    group_wait_s: float = 30.0
    group_interval_s: float = 300.0
    repeat_interval_s: float = 14400.0


class Matcher(msgspec.Struct, frozen=True):
    """A condition on one label; regular expressions are RE2 and anchored at both ends; a missing label equals ``""``."""

    label: str
    op: Literal["=", "!=", "=~", "!~"]
    value: str


class Route(msgspec.Struct, frozen=True):
    """One route: all matchers must hold. The first matching route wins unless it says ``continue_matching``; children are more exact.

    What a route left out is taken from its parent, at the top from the grouping; mute and active intervals are not handed down.
    """

    matchers: tuple[Matcher, ...]
    receivers: tuple[str, ...]
    group_by: tuple[str, ...]
    group_wait_s: float
    group_interval_s: float
    repeat_interval_s: float
    continue_matching: bool = False
    children: tuple[Route, ...] = ()
    mute_intervals: tuple[str, ...] = ()
    active_intervals: tuple[str, ...] = ()
    escalation: str = ""


class Receiver(msgspec.Struct, frozen=True):
    """Name and type of a receiver; its addresses and secrets stay with the dispatcher."""

    name: str
    type: str
    send_resolved: bool = True


class ReceiverGroup(msgspec.Struct, frozen=True):
    """One name for several receivers, each told for itself; none means that nobody is told."""

    name: str
    receivers: tuple[str, ...] = ()


class InhibitRule(msgspec.Struct, frozen=True):
    """While an alert that matches ``source`` fires, alerts that match ``target`` and equal it in ``equal`` are held back."""

    source: tuple[Matcher, ...]
    target: tuple[Matcher, ...]
    equal: tuple[str, ...] = ()
    name: str = ""


class TimeRange(msgspec.Struct, frozen=True):
    """Times that satisfy every field that is not empty; ranges include both ends, those of ``minutes`` not their end.

    Weekdays are 0 (Sunday) to 6, days of the month 1..31 or -31..-1 from the end.
    """

    minutes: tuple[tuple[int, int], ...] = ()
    weekdays: tuple[tuple[int, int], ...] = ()
    days_of_month: tuple[tuple[int, int], ...] = ()
    months: tuple[tuple[int, int], ...] = ()
    years: tuple[tuple[int, int], ...] = ()
    location: str = "UTC"


class TimeInterval(msgspec.Struct, frozen=True):
    """A name for times: those in any of the ranges."""

    name: str
    ranges: tuple[TimeRange, ...] = ()


class EscalationStep(msgspec.Struct, frozen=True):
    """After ``after_s`` since the step before (the first: since the first message), these receivers are told too."""

    after_s: float
    receivers: tuple[str, ...]


class Escalation(msgspec.Struct, frozen=True):
    """Steps, and how often the whole is done once more; it ends when everything that fires is acknowledged or over."""

    name: str
    steps: tuple[EscalationStep, ...]
    repeat: int = 0


class SuppressionRule(msgspec.Struct, frozen=True):
    """Alerts that match are recorded, and nobody is told; with intervals only then."""

    name: str
    matchers: tuple[Matcher, ...]
    active_intervals: tuple[str, ...] = ()


class FlapDamping(msgspec.Struct, frozen=True):
    """An alert that ended ``changes`` times within the window counts as firing until it was quiet for ``hold_s``; 0 changes: off."""

    changes: int = 0
    window_s: float = 600.0
    hold_s: float = 600.0


class Schedule(msgspec.Struct, frozen=True):
    """When a definition is active; ``start``/``end`` are HH:MM of the IANA time zone, ``days`` are mon … sun."""

    timezone: str = "UTC"
    start: str | None = None
    end: str | None = None
    days: tuple[str, ...] = ()


class DefinitionAction(msgspec.Struct, frozen=True):
    """One action of an alert definition, with its own configuration (``receivers``, ``priority``, ``template``, …)."""

    type: Literal["notification", "shield", "webhook", "incident"]
    config: dict[str, Any]


class Definition(msgspec.Struct, frozen=True):
    """One enabled alert definition (specification, Data Schemas 3). Empty filters let everything pass."""

    id: str
    name: str
    description: str
    trigger: Literal["anomaly", "metric_threshold", "event_pattern"]
    severities: tuple[str, ...] = ()
    detector_ids: tuple[str, ...] = ()
    application_ids: tuple[str, ...] = ()
    score_threshold: float = 0.0
    aggregation_window_s: float | None = None
    aggregation_function: Literal["count", "avg", "sum", "max", "min"] = "count"
    aggregation_threshold: float = 1.0
    actions: tuple[DefinitionAction, ...] = ()
    max_frequency_s: float | None = None
    grouping: tuple[str, ...] | None = None
    schedule: Schedule | None = None
    severity: Severity | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    escalation: str = ""
    max_notifications: int = 0
    notifications_window_s: float = 3600.0

    @property
    def receivers(self) -> tuple[str, ...]:
        """Receivers that the notification actions name, in order, each once."""
        return self.named_by("notification")

    @property
    def notifies(self) -> bool:
        """Whether people are told, by the routes unless receivers are named: the actions say so, or there are none."""
        return not self.actions or any(action.type == "notification" for action in self.actions)

    def named_by(self, kind: str) -> tuple[str, ...]:
        """Receivers that the actions of a type name, in order, each once."""
        names = (name for action in self.actions if action.type == kind for name in action.config.get("receivers", ()))
        return tuple(dict.fromkeys(names))


class MaintenanceWindow(msgspec.Struct, frozen=True):
    """Notifications that match are held back from each tick of the cron schedule, for the duration."""

    name: str
    schedule: str
    duration_s: float
    timezone: str = "UTC"
    matchers: tuple[Matcher, ...] = ()
