"""The label sets of an alert: anomalies that share all labels are one, with its own start and end."""

from __future__ import annotations

from sentinel.alerting.labels import fingerprint
from sentinel.alerting.matching import AlertKey
from sentinel.alerting.notification import annotations_of
from sentinel.alerting.policy import CompiledDefinition, Policy
from sentinel.alerting.state import Member
from sentinel.anomaly import Anomaly

MAX_MEMBERS = 50
"""Label sets told apart in one alert; further ones are put together by severity."""


def report(
    members: dict[str, Member],
    key: AlertKey,
    anomaly: Anomaly,
    policy: Policy,
    definition: CompiledDefinition | None,
    *,
    first_seen: int,
    last_seen: int,
    now: int,
) -> tuple[str, bool]:
    """Bring the label set of the anomaly up to date; its fingerprint, and whether it begins to fire with this record.

    Args:
        definition: None when the configuration has none of that id (any more).
        first_seen, last_seen: of the anomaly, event time in epoch milliseconds; `now` is processing time.
    """
    labels = policy.labels(anomaly, definition or policy.unknown_definition(key.definition_id), key.group_names)
    name = fingerprint(labels)
    if name not in members and len(members) >= MAX_MEMBERS:
        kept = {"alertname", "tenant_id", "severity", *key.group_names}
        labels = {label: value for label, value in labels.items() if label in kept}
        name = fingerprint(labels)
    newest = (last_seen, anomaly.anomaly_id)
    member = members.get(name)
    if member is None:
        member = members[name] = Member(labels, _annotations(anomaly, definition), first_seen, 0, now, newest=newest, last_seen=last_seen)
    elif newest >= member.newest:
        member.annotations, member.newest = _annotations(anomaly, definition), newest
    is_new, member.firing, member.updated_at = not member.firing, True, now
    if is_new:
        member.acknowledged, member.snoozed_until = False, 0
    member.starts_at = min(member.starts_at, first_seen)
    member.last_seen = max(member.last_seen, last_seen)
    member.ends_at = max(member.ends_at, now + policy.resolve_timeout_ms)
    return name, is_new


def _annotations(anomaly: Anomaly, definition: CompiledDefinition | None) -> dict[str, str]:
    return annotations_of(anomaly) | (definition.annotations_for(anomaly) if definition else {})
