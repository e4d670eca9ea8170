"""Which alert definitions want an anomaly, and under which key its alert lives."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import orjson

from sentinel.alerting.labels import ALL_LABELS, OPTIONAL
from sentinel.alerting.policy import policy_of
from sentinel.anomaly import Anomaly
from sentinel.config.runtime import RuntimeConfig


class AlertKey(msgspec.Struct, frozen=True):
    """One alert at a time lives under a key: tenant, definition and the values of the labels that group (sorted by name)."""

    tenant_id: str
    definition_id: str
    group: tuple[tuple[str, str], ...]

    @property
    def group_names(self) -> tuple[str, ...]:
        """Names of the labels that group."""
        return tuple(name for name, _ in self.group)

    def group_text(self) -> str:
        """The group labels as canonical JSON, the part of the alert id that stands for them."""
        return orjson.dumps(self.group).decode()

    def to_text(self) -> str:
        """The key as canonical JSON; different keys have different texts."""
        return orjson.dumps([self.tenant_id, self.definition_id, self.group]).decode()

    @classmethod
    def from_text(cls, text: str) -> AlertKey:
        """The key of a text. Raises ValueError for a text that is not `[tenant, definition, [[label, value], …]]`."""
        try:
            tenant_id, definition_id, group = orjson.loads(text)
            return cls(tenant_id, definition_id, tuple((name, value) for name, value in group))
        except (ValueError, TypeError) as error:
            raise ValueError(f"alert key: expected [tenant, definition, [[label, value], …]], found {text[:200]!r}") from error


def match(anomaly: Anomaly, config: RuntimeConfig) -> list[AlertKey]:
    """The keys under which the anomaly raises or feeds an alert: none when no definition wants it.

    A definition without a grouping of its own takes that of the routes that match; routes that group differently make a key each.
    Without definitions in the configuration the built-in one applies (severity warning or critical).
    """
    if anomaly.status == "resolved":
        # An occurrence keeps an alert alive; that there are none any more does not.
        return []
    policy = policy_of(config)
    keys: list[AlertKey] = []
    for definition in policy.concerned.by(anomaly.detector_id, anomaly.application_id, anomaly.severity):
        if anomaly.score >= definition.source.score_threshold:
            labels = policy.labels(anomaly, definition)
            for names in policy.groupings(definition, labels):
                values = labels if OPTIONAL.isdisjoint(names) else policy.labels(anomaly, definition, names)
                keys.append(AlertKey(anomaly.tenant_id, definition.source.id, group_pairs(values, names)))
    return list(dict.fromkeys(keys))


def group_pairs(labels: Mapping[str, str], names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Name and value of the labels that group; a missing label has the value `""`, so that alerts without it share a group."""
    if names == (ALL_LABELS,):
        names = tuple(labels)
    return tuple((name, labels.get(name, "")) for name in names)
