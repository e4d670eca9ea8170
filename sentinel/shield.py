"""What Shield is asked to enforce: from the actions of detectors and alert definitions to requests that travel in the records.

A request is an entry of an anomaly's `actions_taken` (specification, Data Schemas 2, with our additions) or of an alert's `shield`. It is frozen when
the record is made, and its id is a function of the data, so that a replay asks for the same action.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import nsmallest
from typing import Any

from sentinel.anomaly import Anomaly
from sentinel.config.runtime import Definition, DetectorAction
from sentinel.config.units import parse_duration
from sentinel.identity import stable_id
from sentinel.timestamps import from_rfc3339

DEFAULT_DURATION = "1h"
ASKED_AT_ONCE = 200
"""Requests that one record of an alert repeats at most; what is left goes with the next ones."""
MAX_ASKING = 10_000
"""Anomalies of one alert whose actions its end revokes; beyond that those are forgotten that are over first: they end by themselves."""
PREFIX = "shield_"
"""Of `action`, as the specification names them: `shield_block`, `shield_rate_limit`, …"""


def of_detector(actions: Sequence[DetectorAction], anomaly: Anomaly) -> list[dict[str, Any]]:
    """Requests for an anomaly: about its user, else its model, else its application, unless the settings name a kind."""
    kinds = {"user": anomaly.user_id, "model": anomaly.model, "application": anomaly.application_id}
    kinds["request"] = str(next(iter(anomaly.context.get("sample_events") or ()), ""))
    entities = {kind: name for kind, name in kinds.items() if name}
    wanted = [(action.shield, action.shield_config or {}) for action in actions if action.shield]
    return [
        _request(
            stable_id("shield", anomaly.anomaly_id, number), kind, settings, anomaly.tenant_id, entities, anomaly.title, anomaly.timestamp
        )
        for number, (kind, settings) in enumerate(wanted)
    ]


def of_definition(
    definition: Definition, alert_id: str, labels: Mapping[str, str], reason: str, timestamp: str, reopened: int = 0
) -> list[dict[str, Any]]:
    """Requests for an alert, about what its labels name: user, else model, else application. The end of an alert revokes them; when it was
    taken up again (`reopened` times) they are others."""
    wanted = [action.config for action in definition.actions if action.type == "shield" and action.config.get("action")]
    entities = {
        kind: labels[name]
        for kind, name in (("user", "user_id"), ("model", "model"), ("application", "application_id"))
        if labels.get(name)
    }
    tenant = labels.get("tenant_id", "")
    opening = (reopened,) if reopened else ()
    return [
        _request(stable_id("shield", alert_id, number, *opening), str(settings["action"]), settings, tenant, entities, reason, timestamp)
        for number, settings in enumerate(wanted)
    ]


def note_asking(asking: dict[str, int], anomaly_id: str, actions_taken: Sequence[Mapping[str, Any]]) -> int:
    """Adds to `asking` an anomaly that asked something of Shield, with the end of what it asked for (event time, ms). How many are forgotten for it."""
    ends = [
        from_rfc3339(str(action["timestamp"])) + round(float(action.get("duration_s", 0)) * 1000)
        for action in actions_taken
        if str(action.get("action", "")).startswith(PREFIX)
    ]
    if not ends:
        return 0
    asking[anomaly_id] = max(ends)
    return bounded(asking)


def bounded(asking: dict[str, int]) -> int:
    """Forgets those that are over first, until there are `MAX_ASKING`. How many were forgotten."""
    excess = len(asking) - MAX_ASKING
    for name in nsmallest(excess, asking, key=lambda name: (asking[name], name)) if excess > 0 else ():
        del asking[name]
    return max(0, excess)


def asked_again(actions_taken: Sequence[Mapping[str, Any]], timestamp: str) -> list[dict[str, Any]]:
    """What an anomaly asked for that goes on after the end of its alert, which revoked it: the same with another id, from `timestamp` on."""
    return [
        {**action, "action_id": stable_id("shield-again", action["action_id"], timestamp), "timestamp": timestamp}
        for action in actions_taken
        if str(action.get("action", "")).startswith(PREFIX)
    ]


def _request(
    action_id: str, kind: str, settings: Mapping[str, Any], tenant_id: str, entities: Mapping[str, str], reason: str, timestamp: str
) -> dict[str, Any]:
    parameters = {str(name): _text(value) for name, value in (settings.get("parameters") or {}).items()}
    return {
        "action": PREFIX + kind,
        "target": _target(tenant_id, str(settings.get("target") or "entity"), entities),
        "status": "pending",
        "timestamp": timestamp,
        "action_id": action_id,
        "duration_s": parse_duration(settings.get("duration") or DEFAULT_DURATION),
        "reason": parameters.get("reason") or reason,
        "parameters": parameters,
        "endpoint": str(settings.get("endpoint") or ""),
    }


def _target(tenant_id: str, kind: str, entities: Mapping[str, str]) -> str:
    """`tenant/kind:id`; what the record does not know gives way to what it is about."""
    found = kind if entities.get(kind) else next(iter(entities), "tenant")
    return f"{tenant_id}/{found}:{entities.get(found, tenant_id)}"


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
