"""Alert definitions on metrics and on text: each becomes a detector of its own, so that one path finds everything.

Such a detector has the id `alert:<alert_id>`; its anomalies concern its own definition, and others only where they name it.
"""

from __future__ import annotations

from typing import Any, Final

PREFIX: Final = "alert:"


def detector_of(definition: dict[str, Any]) -> dict[str, Any] | None:
    """The detector of a definition (both as in a snapshot), or None for trigger `anomaly`.

    Raises:
        ValueError: naming what the trigger lacks.
    """
    conditions = definition["conditions"]
    trigger, aggregation = conditions["trigger"], conditions.get("aggregation") or {}
    if trigger == "anomaly":
        return None
    strategy, config = _threshold(conditions, aggregation) if trigger == "metric_threshold" else _pattern(conditions, aggregation)
    severity = definition.get("severity") or next(iter((conditions.get("filters") or {}).get("severity") or ["warning"]))
    return {
        "id": PREFIX + definition["alert_id"],
        "name": definition["name"],
        "description": definition.get("description") or "",
        "type": "rule",
        "strategy": strategy,
        "enabled": definition.get("enabled", True),
        "scope": {"tenants": [], "applications": (conditions.get("filters") or {}).get("application_ids") or [], "models": []},
        "config": config,
        # The alert's name is the definition's, which may be any text.
        "actions": [{"severity": severity}],
    }


def _threshold(conditions: dict[str, Any], aggregation: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    function = aggregation.get("function")
    if conditions.get("metric") is None and function != "count":
        raise ValueError("expected a metric beside trigger metric_threshold (only function count goes without)")
    if aggregation.get("threshold") is None:
        raise ValueError("expected aggregation.threshold beside trigger metric_threshold")
    condition = conditions.get("condition") or "greater_than_or_equal"
    config: dict[str, Any] = {"value": aggregation["threshold"], "condition": condition}
    if conditions.get("metric") is not None and function != "count":
        config["metric"] = conditions["metric"]
    if aggregation.get("window") is None:
        return "threshold", config
    config |= {"window": aggregation["window"]}
    return ("threshold", config) if function is None else ("aggregation", config | {"function": function})


def _pattern(conditions: dict[str, Any], aggregation: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    if conditions.get("pattern") is None:
        raise ValueError("expected a pattern beside trigger event_pattern")
    field = conditions.get("field") or "prompt"
    if aggregation.get("window") is None:
        return "pattern", {"fields": [field], "patterns": [{"id": "pattern", "pattern": conditions["pattern"]}]}
    if aggregation.get("function") not in (None, "count"):
        raise ValueError("expected function count beside trigger event_pattern: patterns are counted")
    where = {"pattern": conditions["pattern"], "field": field}
    value = aggregation.get("threshold", 1)
    return "aggregation", {
        "function": "count",
        "window": aggregation["window"],
        "value": value,
        "condition": "greater_than_or_equal",
        "where": where,
    }
