"""Snapshot (canonical JSON of a validated configuration) to the workers' view."""

from __future__ import annotations

import math
import re
from typing import Any, Final, Literal

import msgspec

from sentinel.config.matchers import parse_matcher
from sentinel.config.runnable import RULES, RUNNABLE, TRAINED
from sentinel.config.runtime import (
    Correlation,
    Dedup,
    Definition,
    DefinitionAction,
    DetectorAction,
    DetectorConfig,
    Grouping,
    MaintenanceWindow,
    Matcher,
    Receiver,
    Route,
    RuntimeConfig,
    Schedule,
    Scope,
)
from sentinel.config.runtime_rules import rule_params
from sentinel.config.units import parse_duration
from sentinel.metrics_vocabulary import METRICS, canonical_metric
from sentinel.models.place import root_of

_DURATIONS: Final = frozenset({"window", "evaluation", "warmup", "repeat", "adapt_after"})
_LABELS: Final = {"application": "application_id", "detector": "detector_id", "tenant": "tenant_id", "user": "user_id"}


def build_runtime(version: int, snapshot: dict[str, Any]) -> RuntimeConfig:
    """The view of one version. See `RuntimeConfig.from_snapshot`."""
    detection, alerting = snapshot["detection"], snapshot["alerting"]
    grouping = _grouping(alerting["grouping"])
    routing = alerting["routing"]
    return RuntimeConfig(
        version=version,
        detectors=_with_models(_detectors(detection["detectors"]["items"], snapshot.get("tenants", {})), detection["mlModels"]),
        correlation=Correlation(
            detection["correlation"]["enabled"],
            parse_duration(detection["correlation"]["window"]),
            detection["correlation"]["maxRelatedEvents"],
        ),
        dedup=Dedup(
            alerting["deduplication"]["enabled"],
            parse_duration(alerting["deduplication"]["window"]),
            tuple(alerting["deduplication"]["fields"]),
        ),
        grouping=grouping,
        default_receiver=routing.get("defaultReceiver", ""),
        routes=tuple(_route(route, grouping) for route in routing["routes"]),
        receivers=tuple(Receiver(item["name"], item["type"], item["sendResolved"]) for item in alerting["receivers"]),
        definitions=tuple(_definition(item) for item in alerting["definitions"] if item["enabled"]),
        maintenance_windows=tuple(_maintenance(item) for item in alerting["suppression"]["maintenanceWindows"]),
        resolve_timeout_s=parse_duration(alerting["resolveTimeout"]),
        external_url=alerting["externalUrl"],
    )


def _detectors(items: list[dict[str, Any]], tenants: dict[str, Any]) -> tuple[DetectorConfig, ...]:
    without: dict[str, list[str]] = {}
    for tenant, settings in tenants.items():
        own = settings["detectors"]
        for name in {*own["disabled"], *(item["id"] for item in own["items"])}:
            without.setdefault(name, []).append(tenant)
    built = [_detector(item, _scope(item["scope"], excluded=tuple(without.get(item["id"], ())))) for item in items if _runs(item)]
    for tenant, settings in tenants.items():
        for item in settings["detectors"]["items"]:
            if _runs(item):
                scope = _scope(item["scope"])
                built.append(_detector(item, Scope((tenant,), scope.applications, scope.models)))
    return tuple(built)


def _with_models(detectors: tuple[DetectorConfig, ...], settings: dict[str, Any]) -> tuple[DetectorConfig, ...]:
    """Detectors with a trained model learn where models lie, and how often to look for another version."""
    reload_s = parse_duration(settings["reloadInterval"]) if settings["autoReload"] else math.inf
    place = {"store": root_of(settings["path"]), "reload_s": reload_s}
    return tuple(
        msgspec.structs.replace(detector, params={"model": detector.strategy, **detector.params, **place}) if detector.strategy in TRAINED else detector
        for detector in detectors
    )


def _runs(item: dict[str, Any]) -> bool:
    return bool(item["enabled"]) and item["strategy"] in RUNNABLE


def _scope(value: dict[str, list[str]], excluded: tuple[str, ...] = ()) -> Scope:
    return Scope(tuple(value["tenants"]), tuple(value["applications"]), tuple(value["models"]), excluded)


def _detector(item: dict[str, Any], scope: Scope) -> DetectorConfig:
    if item["strategy"] in RULES:
        params = rule_params(item["config"])
    else:
        params = _params(item["config"], _DURATIONS | {"minimum"} if item["strategy"] == "silence" else _DURATIONS)
    metric = params.get("metric")
    if metric is not None:
        params["metric"] = metric = canonical_metric(metric)
    level = _level(item["strategy"], metric, params)
    actions = tuple(
        DetectorAction(action.get("alert"), action.get("severity"), action.get("shield"), action.get("config"))
        for action in item["actions"]
    )
    return DetectorConfig(
        id=item["id"],
        type=item["type"],
        strategy=item["strategy"],
        level=level,
        metric=metric,
        params=params,
        severity=next((action.severity for action in actions if action.severity), "warning"),
        scope=scope,
        actions=actions,
        name=item["name"] or item["id"],
    )


def _params(config: dict[str, Any], durations: frozenset[str]) -> dict[str, Any]:
    params: dict[str, Any] = {}
    for key, value in config.items():
        name = re.sub(r"[A-Z]", lambda match: "_" + match[0].lower(), key)
        if name in durations:
            params[f"{name}_s"] = parse_duration(value)
        else:
            params[name] = value
    return params


def _level(strategy: str, metric: str | None, params: dict[str, Any]) -> Literal["event", "pane", "user"]:
    if strategy == "pattern":
        return "event"
    if strategy in RULES:
        return "pane"
    levels = METRICS[metric].levels if metric else frozenset()
    if strategy == "peer" or levels == {"user"}:
        return "user"
    return "event" if strategy == "threshold" and "window_s" not in params and "event" in levels else "pane"


def _labels(names: list[str]) -> tuple[str, ...]:
    return tuple(_LABELS.get(name, name) for name in names)


def _grouping(value: dict[str, Any]) -> Grouping:
    return Grouping(
        value["enabled"],
        _labels(value["groupBy"]),
        parse_duration(value["groupWait"]),
        parse_duration(value["groupInterval"]),
        parse_duration(value["repeatInterval"]),
    )


def _matcher(text: str) -> Matcher:
    label, operator, value = parse_matcher(text)
    return Matcher(_LABELS.get(label, label), operator, value)  # type: ignore[arg-type]


def _route(value: dict[str, Any], grouping: Grouping) -> Route:
    equal = tuple(Matcher(_LABELS.get(label, label), "=", wanted) for label, wanted in value["match"].items())

    def seconds(key: str, inherited: float) -> float:
        return parse_duration(value[key]) if key in value else inherited

    return Route(
        matchers=equal + tuple(map(_matcher, value["matchers"])),
        receivers=tuple(value["receivers"]),
        group_by=_labels(value["groupBy"]) if "groupBy" in value else grouping.group_by,
        group_wait_s=seconds("groupWait", grouping.group_wait_s),
        group_interval_s=seconds("groupInterval", grouping.group_interval_s),
        repeat_interval_s=seconds("repeatInterval", grouping.repeat_interval_s),
        continue_matching=value["continue"],
    )


def _definition(value: dict[str, Any]) -> Definition:
    conditions = value["conditions"]
    filters, aggregation = conditions.get("filters", {}), conditions.get("aggregation", {})
    throttling, schedule = value.get("throttling", {}), value.get("schedule")
    window, frequency = aggregation.get("window"), throttling.get("max_frequency")
    return Definition(
        id=value["alert_id"],
        name=value["name"],
        description=value.get("description", ""),
        trigger=conditions["trigger"],
        severities=tuple(filters.get("severity", ())),
        detector_ids=tuple(filters.get("detector_ids", ())),
        application_ids=tuple(filters.get("application_ids", ())),
        score_threshold=filters.get("score_threshold", 0.0),
        aggregation_window_s=parse_duration(window) if window else None,
        aggregation_function=aggregation.get("function", "count"),
        aggregation_threshold=aggregation.get("threshold", 1.0),
        actions=tuple(DefinitionAction(action["type"], action.get("config", {})) for action in value["actions"]),
        max_frequency_s=parse_duration(frequency) if frequency else None,
        grouping=_labels(throttling["grouping"]) if "grouping" in throttling else None,
        schedule=_schedule(schedule) if schedule else None,
    )


def _schedule(value: dict[str, Any]) -> Schedule:
    hours = value.get("active_hours", {})
    return Schedule(value.get("timezone", "UTC"), hours.get("start"), hours.get("end"), tuple(value.get("days_of_week", ())))


def _maintenance(value: dict[str, Any]) -> MaintenanceWindow:
    return MaintenanceWindow(
        value["name"], value["schedule"], parse_duration(value["duration"]), value["timezone"], tuple(map(_matcher, value["matchers"]))
    )
