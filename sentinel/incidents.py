"""Incidents: which alerts become one by themselves, and what an incident says (specification, Incident Manager Integration)."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from sentinel.alerting.templates import Template

SEVERITIES: Final = {"critical": "P1", "warning": "P2", "info": "P3"}
"""Severity of an incident by that of the alert, unless `mapping.severity` says otherwise."""
MAX_TITLE, MAX_TEXT, MAX_TAGS = 300, 8_192, 50
_COMPARISON = re.compile(r"(>=|<=|==|!=|>|<)\s*(-?[0-9]+(?:\.[0-9]+)?)")
_COMPARE: Final[dict[str, Callable[[float, float], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
    "!=": operator.ne,
}
_ADVICE: Final = (
    (("token",), ("Review token usage patterns of {application}", "Look for prompts or answers that grew")),
    (("cost",), ("Review the cost of {application} by model and user", "Check for potential abuse")),
    (("latency",), ("Check the health and the load of the model's provider", "Compare with other models of {application}")),
    (("error",), ("Look at the errors of the sample events", "Check the provider's status")),
    (("injection", "jailbreak", "security"), ("Read the sample prompts", "Block or limit the user at Shield")),
    (("silence", "calls"), ("Check whether {application} and its telemetry are running",)),
)


def check_conditions(conditions: Sequence[Mapping[str, Any]]) -> None:
    """Raises ValueError when a condition cannot be evaluated."""
    for condition in conditions:
        for name, wanted in condition.items():
            if name == "score" and isinstance(wanted, str) and not _COMPARISON.fullmatch(wanted.strip()):
                raise ValueError(f'expected a comparison of the score such as ">= 0.9", found {wanted!r}')


def conditions_hold(conditions: Sequence[Mapping[str, Any]], values: Mapping[str, str]) -> bool:
    """Whether all of them hold; `values` are the labels and annotations of an alert. Without conditions everything holds."""
    return all(_holds(values.get(name, ""), wanted) for condition in conditions for name, wanted in condition.items())


def _holds(found: str, wanted: Any) -> bool:
    comparison = _COMPARISON.fullmatch(wanted.strip()) if isinstance(wanted, str) else None
    if comparison is None and isinstance(wanted, str):
        return found == wanted
    sign, limit = (comparison[1], float(comparison[2])) if comparison else ("==", float(wanted))
    try:
        return _COMPARE[sign](float(found), limit)
    except ValueError:
        return False


def rendered(fields: Mapping[str, Any], name: str, usual: str, context: Mapping[str, Any], limit: int) -> str:
    """A field of the incident by its template; the usual text when there is none, or when it fails on these values."""
    source = fields.get(name)
    if not isinstance(source, str):
        return usual[:limit]
    try:
        return Template(source, limit).render(context) or usual[:limit]
    except ValueError:
        return usual[:limit]


def tags(fields: Mapping[str, Any], context: Mapping[str, Any]) -> list[str]:
    """The tags by their templates; one that fails or is empty is left out."""
    found = []
    for source in list(fields.get("tags") or [])[:MAX_TAGS]:
        text = rendered({"tag": source}, "tag", "", context, 200)
        if text:
            found.append(text)
    return found


def advice(labels: Mapping[str, str]) -> list[str]:
    """What to look at first, by metric and detector."""
    about = f"{labels.get('metric', '')} {labels.get('detector_id', '')} {labels.get('alertname', '')}".lower()
    application = labels.get("application_id") or "the application"
    steps = [f"Investigate recent changes to {application}"]
    for words, texts in _ADVICE:
        if any(word in about for word in words):
            steps += [text.format(application=application) for text in texts]
    return steps


def affected(labels: Mapping[str, str]) -> list[dict[str, str]]:
    """Who or what the labels name: user, model, application."""
    kinds = (("user", "user_id"), ("model", "model"), ("application", "application_id"))
    return [{"type": kind, "id": labels[name], "name": labels[name]} for kind, name in kinds if labels.get(name)]
