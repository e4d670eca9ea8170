"""Snapshot (canonical JSON of a validated configuration) to the workers' view."""

from __future__ import annotations

import math
import re
from typing import Any, Final, Literal

import msgspec

from sentinel.config.definition_triggers import detector_of
from sentinel.config.runnable import RULES, RUNNABLE, TRAINED
from sentinel.config.runtime import Correlation, Dedup, DetectorAction, DetectorConfig, RuntimeConfig, Scope
from sentinel.config.runtime_alerting_builder import alerting_parts
from sentinel.config.runtime_rules import rule_params
from sentinel.config.units import parse_duration
from sentinel.events.normalisation import settings_from as normalisation_from
from sentinel.events.pairing_settings import settings_from as pairing_from
from sentinel.metrics_vocabulary import METRICS, canonical_metric
from sentinel.models.place import root_of
from sentinel.pricing.table import settings_from as pricing_from
from sentinel.privacy.policy import settings_from as privacy_from

_DURATIONS: Final = frozenset({"window", "evaluation", "warmup", "repeat", "adapt_after", "duration"})


def build_runtime(version: int, snapshot: dict[str, Any]) -> RuntimeConfig:
    """The view of one version. See `RuntimeConfig.from_snapshot`."""
    detection, alerting = snapshot["detection"], snapshot["alerting"]
    return RuntimeConfig(
        version=version,
        detectors=_with_models(
            _detectors([*detection["detectors"]["items"], *_derived(alerting["definitions"])], snapshot.get("tenants", {})),
            detection["mlModels"],
        ),
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
        **alerting_parts(alerting),
        processing_timeout_s=parse_duration(detection["processingTimeout"]),
        resolve_timeout_s=parse_duration(alerting["resolveTimeout"]),
        external_url=alerting["externalUrl"],
        incident_auto_create=_auto_create(snapshot.get("integrations", {}).get("incidentManager", {})),
        privacy=privacy_from(snapshot),
        pricing=pricing_from(snapshot),
        normalisation=normalisation_from(snapshot),
        deduplicated_tenants=frozenset(name for name, own in snapshot.get("tenants", {}).items() if own.get("deduplicateEvents")),
        pairing=pairing_from(snapshot),
    )


def _auto_create(manager: dict[str, Any]) -> bool:
    """Whether alerts become incidents that no definition asks for; the dispatcher judges the conditions."""
    return bool(manager.get("enabled")) and bool(manager.get("autoCreate", {}).get("enabled"))


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


def _derived(definitions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Detectors of alert definitions on metrics and text."""
    return [detector for definition in definitions if (detector := detector_of(definition)) is not None]


def _with_models(detectors: tuple[DetectorConfig, ...], settings: dict[str, Any]) -> tuple[DetectorConfig, ...]:
    """Detectors with a trained model learn where models lie, and how often to look for another version."""
    reload_s = parse_duration(settings["reloadInterval"]) if settings["autoReload"] else math.inf
    place = {"store": root_of(settings["path"]), "reload_s": reload_s}
    return tuple(
        msgspec.structs.replace(detector, params={"model": detector.strategy, **detector.params, **place})
        if detector.strategy in TRAINED
        else detector
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
    if strategy in ("pattern", "classifier"):
        return "event"
    if strategy in RULES:
        return "pane"
    levels = METRICS[metric].levels if metric else frozenset()
    if strategy == "peer" or levels == {"user"}:
        return "user"
    return "event" if strategy == "threshold" and "window_s" not in params and "event" in levels else "pane"
