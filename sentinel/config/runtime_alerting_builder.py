"""Section `alerting` of a snapshot to the workers' view. What a route leaves out is filled in from its parent here, once."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from sentinel.config.definition_triggers import PREFIX
from sentinel.config.matchers import parse_matcher
from sentinel.config.runtime_alerting import (
    Definition,
    DefinitionAction,
    Escalation,
    EscalationStep,
    FlapDamping,
    Grouping,
    InhibitRule,
    MaintenanceWindow,
    Matcher,
    Receiver,
    ReceiverGroup,
    Route,
    Schedule,
    SuppressionRule,
    TimeInterval,
    TimeRange,
)
from sentinel.config.time_ranges import minutes_of, range_of
from sentinel.config.units import parse_duration


def alerting_parts(alerting: dict[str, Any]) -> dict[str, Any]:
    """Fields of `RuntimeConfig` that come from section `alerting`."""
    grouping, routing = _grouping(alerting["grouping"]), alerting["routing"]
    default = routing.get("defaultReceiver", "")
    root = Route(
        matchers=(),
        receivers=(default,) if default else (),
        group_by=grouping.group_by,
        group_wait_s=grouping.group_wait_s,
        group_interval_s=grouping.group_interval_s,
        repeat_interval_s=grouping.repeat_interval_s,
        escalation=routing.get("escalation", ""),
    )
    flap = alerting.get("flapDamping", {})
    return {
        "grouping": grouping,
        "default_receiver": default,
        "default_escalation": root.escalation,
        "routes": tuple(_route(route, root) for route in routing["routes"]),
        "receivers": tuple(Receiver(item["name"], item["type"], item["sendResolved"]) for item in alerting["receivers"]),
        "receiver_groups": tuple(ReceiverGroup(item["name"], tuple(item["receivers"])) for item in alerting.get("receiverGroups", ())),
        "definitions": tuple(_definition(item, alerting.get("templates", {})) for item in alerting["definitions"] if item["enabled"]),
        "maintenance_windows": tuple(_maintenance(item) for item in alerting["suppression"]["maintenanceWindows"]),
        "suppression_rules": tuple(
            SuppressionRule(item["name"], _matchers(item["matchers"]), tuple(item["activeTimeIntervals"]))
            for item in alerting["suppression"].get("rules", ())
        ),
        "inhibit_rules": tuple(
            InhibitRule(
                _matchers(item["sourceMatchers"]), _matchers(item["targetMatchers"]), tuple(item["equal"]), item.get("name") or f"#{place}"
            )
            for place, item in enumerate(alerting.get("inhibitRules", ()), 1)
        ),
        "time_intervals": tuple(
            TimeInterval(item["name"], tuple(map(_time_range, item["timeIntervals"]))) for item in alerting.get("timeIntervals", ())
        ),
        "escalations": _escalations(alerting.get("escalationPolicies", ())),
        "flap": FlapDamping(flap["changes"], parse_duration(flap["window"]), parse_duration(flap["hold"])) if flap else FlapDamping(),
    }


def _grouping(value: dict[str, Any]) -> Grouping:
    return Grouping(
        value["enabled"],
        tuple(value["groupBy"]),
        parse_duration(value["groupWait"]),
        parse_duration(value["groupInterval"]),
        parse_duration(value["repeatInterval"]),
    )


def _matchers(texts: list[str]) -> tuple[Matcher, ...]:
    return tuple(Matcher(*parse_matcher(text)) for text in texts)  # type: ignore[arg-type]


def _route(value: dict[str, Any], parent: Route) -> Route:
    equal = tuple(Matcher(label, "=", wanted) for label, wanted in value["match"].items())

    def seconds(key: str, inherited: float) -> float:
        return parse_duration(value[key]) if key in value else inherited

    route = Route(
        matchers=equal + _matchers(value["matchers"]),
        receivers=tuple(value["receivers"]) if "receivers" in value else parent.receivers,
        group_by=tuple(value["groupBy"]) if "groupBy" in value else parent.group_by,
        group_wait_s=seconds("groupWait", parent.group_wait_s),
        group_interval_s=seconds("groupInterval", parent.group_interval_s),
        repeat_interval_s=seconds("repeatInterval", parent.repeat_interval_s),
        continue_matching=value["continue"],
        mute_intervals=tuple(value.get("muteTimeIntervals", ())),
        active_intervals=tuple(value.get("activeTimeIntervals", ())),
        escalation=value.get("escalation", parent.escalation),
    )
    children = tuple(_route(child, route) for child in value.get("routes", ()))
    return replace(route, children=children) if children else route


def _time_range(value: dict[str, Any]) -> TimeRange:
    def ranges(field: str, key: str) -> tuple[tuple[int, int], ...]:
        return tuple(range_of(field, entry) for entry in value[key])

    return TimeRange(
        minutes=tuple((minutes_of(entry["startTime"]), minutes_of(entry["endTime"])) for entry in value["times"]),
        weekdays=ranges("weekdays", "weekdays"),
        days_of_month=ranges("days_of_month", "daysOfMonth"),
        months=ranges("months", "months"),
        years=ranges("years", "years"),
        location=value["location"],
    )


def _escalations(items: Any) -> tuple[Escalation, ...]:
    by_name = {item["name"]: item for item in items}

    def steps(item: dict[str, Any], seen: frozenset[str]) -> tuple[EscalationStep, ...]:
        own = tuple(EscalationStep(parse_duration(step["after"]), tuple(step["receivers"])) for step in item["steps"])
        following = by_name.get(item.get("then") or "")
        return own if following is None or following["name"] in seen else own + steps(following, seen | {following["name"]})

    return tuple(Escalation(item["name"], steps(item, frozenset({item["name"]})), item["repeat"]) for item in items)


def _definition(value: dict[str, Any], templates: dict[str, dict[str, str]]) -> Definition:
    conditions = value["conditions"]
    filters, aggregation = conditions.get("filters", {}), conditions.get("aggregation", {})
    throttling, schedule = value.get("throttling", {}), value.get("schedule")
    window, frequency = aggregation.get("window"), throttling.get("max_frequency")
    derived = conditions["trigger"] != "anomaly"
    return Definition(
        id=value["alert_id"],
        name=value["name"],
        description=value.get("description", ""),
        trigger=conditions["trigger"],
        severities=() if derived else tuple(filters.get("severity", ())),
        detector_ids=(PREFIX + value["alert_id"],) if derived else tuple(filters.get("detector_ids", ())),
        application_ids=tuple(filters.get("application_ids", ())),
        score_threshold=0.0 if derived else filters.get("score_threshold", 0.0),
        # A derived detector has counted already.
        aggregation_window_s=parse_duration(window) if window and not derived else None,
        aggregation_function=aggregation.get("function", "count"),
        aggregation_threshold=aggregation.get("threshold", 1.0),
        actions=tuple(_action(action, templates) for action in value["actions"]),
        max_frequency_s=parse_duration(frequency) if frequency else None,
        grouping=tuple(throttling["grouping"]) if "grouping" in throttling else None,
        schedule=_schedule(schedule) if schedule else None,
        severity=value.get("severity"),
        labels=value.get("labels", {}),
        annotations=value.get("annotations", {}),
        escalation=value.get("escalation", ""),
        max_notifications=throttling.get("max_notifications", 0),
        notifications_window_s=parse_duration(throttling.get("window", "1h")),
    )


def _action(value: dict[str, Any], templates: dict[str, dict[str, str]]) -> DefinitionAction:
    """An action whose `template` names a message has that message's title and text, unless it has its own."""
    config = value.get("config", {})
    return DefinitionAction(value["type"], templates.get(str(config.get("template")), {}) | config)


def _schedule(value: dict[str, Any]) -> Schedule:
    hours = value.get("active_hours", {})
    return Schedule(value.get("timezone", "UTC"), hours.get("start"), hours.get("end"), tuple(value.get("days_of_week", ())))


def _maintenance(value: dict[str, Any]) -> MaintenanceWindow:
    return MaintenanceWindow(
        value["name"], value["schedule"], parse_duration(value["duration"]), value["timezone"], _matchers(value["matchers"])
    )
