"""Names that templates may use, and those in a template that nothing will ever fill: they render as nothing, so that nobody would notice a slip."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import nodes

from sentinel.alerting.templates import as_written, parse

Names = Mapping[str, Any]
"""Names and what is below them: None when that is a value, or has names of its own (labels), else `Names` again."""

SHOWN_OF_ANOMALY = (
    *("anomaly_id", "application_id", "count", "description", "detector_id", "metric"),
    *("model", "score", "severity", "tenant_id", "title", "user_id"),
)
"""Fields of an anomaly that the labels and annotations of a definition may use."""

DEFINITION_NAMES: Names = {"anomaly": {**dict.fromkeys(SHOWN_OF_ANOMALY), "metrics": None, "labels": None}, "labels": None}
"""For the labels and annotations of a definition (`sentinel.alerting.policy`)."""

_ALERT: Names = dict.fromkeys(("status", "labels", "annotations", "startsAt", "endsAt"))
_SINGLE = ("status", "severity", "receiver", "externalURL", "firing", "alert_id", "tenant_id", "starts_at", "count")
_WITH_LABELS = ("groupLabels", "commonLabels", "commonAnnotations", "anomaly")
MESSAGE_NAMES: Names = {
    **dict.fromkeys((*_SINGLE, *_WITH_LABELS)),
    "alerts": _ALERT,
    "definition": dict.fromkeys(("id", "name", "description")),
}
"""For title and text of a message (`sentinel.alerting.notification`); what is below `alerts` belongs to each of them."""

INCIDENT_NAMES: Names = dict.fromkeys(("anomaly", "alert", "commonLabels", "tenant_id", "severity"))
"""For the fields of an incident (`services.dispatcher.incident`)."""


@dataclass(frozen=True)
class Unknown:
    """A name that is not there: `anomaly.modle`, and what could stand in its place, written in full (`anomaly.model`, …)."""

    name: str
    valid: tuple[str, ...]


def unknown_names(source: str, names: Names) -> list[Unknown]:
    """What of the template is not among the names, each once.

    Raises:
        ValueError: when the text is no template (as `Template`).
    """
    found = {unknown.name: unknown for unknown in _unknown(parse(source), names)}
    return [Unknown(as_written(unknown.name, source), unknown.valid) for unknown in found.values()]


def _unknown(node: nodes.Node, names: Names) -> Iterator[Unknown]:
    if isinstance(node, nodes.For):
        yield from _unknown(node.iter, names)
        each = node.target.name if isinstance(node.target, nodes.Name) else ""
        inner = {**names, "loop": None, each: _below(node.iter, names)}
        for child in (*node.body, *([node.test] if node.test else ())):
            yield from _unknown(child, inner)
        for child in node.else_:
            yield from _unknown(child, names)
        return
    steps = _steps(node)
    if not steps:
        for child in node.iter_child_nodes():
            yield from _unknown(child, names)
        return
    known: Names | None = names
    for place, step in enumerate(steps):
        if known is None:
            return
        if step not in known:
            before = ".".join(steps[:place])
            yield Unknown(".".join(steps[: place + 1]), tuple(f"{before}.{name}" if before else name for name in known))
            return
        known = known[step]


def _steps(node: nodes.Node) -> list[str]:
    """`a.b['c']` as its three names; no names for anything else."""
    steps: list[str] = []
    while not isinstance(node, nodes.Name):
        if isinstance(node, nodes.Getattr):
            steps.append(node.attr)
        elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str):
            steps.append(node.arg.value)
        else:
            return []
        node = node.node
    return [node.name, *reversed(steps)]


def _below(node: nodes.Node, names: Names) -> Names | None:
    known: Any = names
    for step in _steps(node):
        known = known.get(step) if known else None
    return known if known is not names else None
