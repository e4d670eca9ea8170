"""Labels of an anomaly, their fingerprint, and matchers on them (Alertmanager's data model, own hash)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import re2

from sentinel.anomaly import Anomaly
from sentinel.config.runtime import Matcher

ALL_LABELS = "..."
"""As the only name in a `group_by`: group by every label (Alertmanager's notation)."""

ALIASES = {"application": "application_id", "detector": "detector_id", "tenant": "tenant_id", "user": "user_id"}
"""Short names that the specification's examples use for labels."""

_PARTNERS = ALIASES | {long: short for short, long in ALIASES.items()}
MAX_LABEL_VALUE = 1_000
"""Longest value (characters) of a label: it is in the state, in keys, and in every message."""

OPTIONAL = frozenset({"user_id", "detector_type", "entity_type", "entity_id"})
"""Fields that are labels only where alerts are grouped by them."""


def canonical(name: str) -> str:
    """The label's own name: `application` is `application_id`."""
    return ALIASES.get(name, name)


def present_name(labels: Mapping[str, str], name: str) -> str:
    """The name under which the label set has the label: as it was asked for, else its other spelling if that is there."""
    partner = _PARTNERS.get(name)
    return partner if partner is not None and name not in labels and partner in labels else name


def value_of(labels: Mapping[str, str], name: str) -> str:
    """The label's value; a missing label has the value `""`."""
    found = labels.get(name)
    if found is None and name in _PARTNERS:
        found = labels.get(_PARTNERS[name])
    return found or ""


def labels_of(
    anomaly: Anomaly, alertname: str, extra: Mapping[str, str], group_by: tuple[str, ...] = (), severity: str = ""
) -> dict[str, str]:
    """The label set of an anomaly, sorted by name, without empty values; those that are too long are cut.

    Later sources win: `extra` (labels that the definition sets), the anomaly's own `labels` (team, environment, …), its fields. User and
    entity become labels only where `group_by` asks for them, since otherwise every user would be an alert of its own.
    """
    labels = {**extra, **anomaly.labels}
    labels.update(
        alertname=alertname,
        tenant_id=anomaly.tenant_id,
        application_id=anomaly.application_id,
        detector_id=anomaly.detector_id,
        severity=severity or anomaly.severity,
        model=anomaly.model,
        metric=anomaly.metric,
    )
    for name in group_by:
        if name in OPTIONAL:
            labels[name] = _optional_field(anomaly, name)
    return {name: labels[name][:MAX_LABEL_VALUE] for name in sorted(labels) if labels[name]}


def _optional_field(anomaly: Anomaly, name: str) -> str:
    if name.startswith("entity_"):
        return str(anomaly.affected_entity.get(name.removeprefix("entity_"), ""))
    return str(getattr(anomaly, name))


def fingerprint(labels: Mapping[str, str]) -> str:
    """16 hexadecimal digits that name a label set: BLAKE2b-64 over `name 0xFF value 0xFF`, sorted by name.

    Alertmanager hashes the same bytes with FNV-1a; the digits differ, the meaning (equal labels, equal fingerprint) does not.
    """
    return _fingerprint(tuple(sorted(labels.items())))


@lru_cache(maxsize=65_536)
def _fingerprint(labels: tuple[tuple[str, str], ...]) -> str:
    data = b"".join([part.encode("utf-8", "surrogatepass") + b"\xff" for pair in labels for part in pair])
    return blake2b(data, digest_size=8).hexdigest()


def common(label_sets: list[dict[str, str]]) -> dict[str, str]:
    """The pairs that all label sets share."""
    if not label_sets:
        return {}
    first, *others = label_sets
    return {name: value for name, value in first.items() if all(other.get(name) == value for other in others)}


Predicate = Callable[[Mapping[str, str]], bool]


def compile_matcher(matcher: Matcher) -> Predicate:
    """A function from labels to whether the matcher holds. A missing label equals `""`; expressions are RE2, anchored at both ends.

    Raises:
        ValueError: when the expression is not RE2, naming label and expression.
    """
    name, value = matcher.label, matcher.value
    if matcher.op == "=":
        return lambda labels: value_of(labels, name) == value
    if matcher.op == "!=":
        return lambda labels: value_of(labels, name) != value
    expression = _expression(name, value)
    if matcher.op == "=~":
        return lambda labels: expression.fullmatch(value_of(labels, name)) is not None
    return lambda labels: expression.fullmatch(value_of(labels, name)) is None


def compile_all(matchers: Iterable[Matcher]) -> Predicate:
    """All of them must hold. Raises ValueError as `compile_matcher`."""
    predicates = tuple(map(compile_matcher, matchers))
    return lambda labels: all(holds(labels) for holds in predicates)


def matchers_text(matchers: Iterable[Matcher]) -> str:
    """Matchers as people write them, in one order: `{severity="critical",team=~"ml|web"}`."""
    parts = (f"{matcher.label}{matcher.op}{json.dumps(matcher.value)}" for matcher in matchers)
    return "{" + ",".join(sorted(parts)) + "}"


def _expression(name: str, value: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(value, options)
    except re2.error as error:
        raise ValueError(f"matcher on label {name!r}: expected an RE2 expression, found {value!r} ({error})") from None
