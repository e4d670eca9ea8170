"""Nested rule settings of a snapshot as workers read them: snake_case keys, durations as seconds under a name that ends in `_s`."""

from __future__ import annotations

import re
from typing import Any, Final

from sentinel.config.units import parse_duration
from sentinel.metrics_vocabulary import canonical_metric

_DURATIONS: Final = frozenset({"window", "within", "every", "repeat", "warmup", "forget_after", "adapt_after", "dormant_after"})
_NAMED: Final = frozenset({"events", "tags"})
"""Mappings whose keys are the user's own."""


def rule_params(value: Any) -> Any:
    """The settings of the strategies in `RULES`, at every depth."""
    if isinstance(value, list):
        return [rule_params(item) for item in value]
    if not isinstance(value, dict):
        return value
    result: dict[str, Any] = {}
    for key, item in value.items():
        name = re.sub(r"[A-Z]", lambda match: "_" + match[0].lower(), key)
        if name in _DURATIONS:
            result[f"{name}_s"] = parse_duration(item)
        elif name in _NAMED:
            result[name] = {own: rule_params(inner) for own, inner in item.items()}
        elif name == "metric" and item is not None:
            result[name] = canonical_metric(item)
        else:
            result[name] = rule_params(item)
    return result
