"""Building the two records from the state of an alert."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sentinel.alerting.labels import common, fingerprint
from sentinel.alerting.matching import AlertKey
from sentinel.alerting.policy import CompiledDefinition, Policy
from sentinel.alerting.receivers import Integration
from sentinel.alerting.records import (
    MAX_ANOMALY_IDS,
    AlertRecord,
    AlertStatus,
    DecisionRecord,
    NotificationRecord,
    NotifiedAlert,
    Outcome,
    Status,
    notification_id,
)
from sentinel.alerting.state import SEVERITIES, GroupState, Member, rank
from sentinel.anomaly import Anomaly
from sentinel.identity import stable_id
from sentinel.shield import ASKED_AT_ONCE, of_definition
from sentinel.timestamps import to_rfc3339

STILL_FIRING = "0001-01-01T00:00:00Z"
"""Alertmanager's `endsAt` of an alert that fires: the zero time."""


MAX_ANNOTATION = 2_000
"""Longest annotation (characters) that an anomaly brings along: a message holds those of many."""


def annotations_of(anomaly: Anomaly) -> dict[str, str]:
    """What people read about an anomaly, as text: summary, description, id, score and the metric's values; what is too long is cut."""
    annotations = {"summary": anomaly.title, "description": anomaly.description, "anomaly_id": anomaly.anomaly_id}
    annotations["correlation_group"] = anomaly.correlation.get("group_id", "")
    annotations["score"] = f"{anomaly.score:.4g}"
    annotations |= {name: f"{value:.6g}" for name, value in anomaly.metrics.items()}
    return {
        name: value if len(value) <= MAX_ANNOTATION else value[: MAX_ANNOTATION - 1] + "…" for name, value in annotations.items() if value
    }


def alert_record(key: AlertKey, state: GroupState, policy: Policy) -> AlertRecord:
    """The alert as it is now: its labels are those that all its anomalies share, its severity the highest that it has reached."""
    resolved = state.phase == "resolved"
    alive: AlertStatus = "acknowledged" if state.acknowledged else "firing"
    newest = max(state.members.values(), key=lambda member: member.newest)
    severity = SEVERITIES[state.severity]
    labels = dict(sorted({**state.labels, **dict(key.group), "tenant_id": key.tenant_id, "severity": severity}.items()))
    definition, summary = policy.definitions.get(key.definition_id), newest.annotations.get("summary", "")
    since = to_rfc3339(state.reopened_at if state.reopened else state.starts_at)
    asked = of_definition(definition.source, state.alert_id, labels, summary, since, state.reopened) if definition else []
    return AlertRecord(
        alert_id=state.alert_id,
        definition_id=key.definition_id,
        tenant_id=key.tenant_id,
        status="resolved" if resolved else alive,
        severity=severity,
        labels=labels,
        annotations=newest.annotations,
        group_key=key.to_text(),
        starts_at=to_rfc3339(state.starts_at),
        ends_at=to_rfc3339(state.last_seen) if resolved else None,
        last_seen=to_rfc3339(state.last_seen),
        count=state.count,
        anomaly_ids=state.anomaly_ids[:MAX_ANOMALY_IDS],
        receivers=sorted(state.receivers),
        config_version=policy.version,
        fingerprint=fingerprint({"tenant_id": key.tenant_id, "definition_id": key.definition_id, **dict(key.group)}),
        reopened=state.reopened,
        shield=[] if resolved else [*asked, *state.shield_again[:ASKED_AT_ONCE]],
        shield_anomaly_ids=[name for name in state.asking if name not in state.anomaly_ids] if resolved else [],
        shield_forgotten=state.forgotten_asking if resolved else 0,
    )


def notification_record(
    key: AlertKey,
    state: GroupState,
    policy: Policy,
    definition: CompiledDefinition,
    to: Integration,
    members: Sequence[tuple[str, Member]],
    at_ms: int,
) -> NotificationRecord:
    """The next message to a receiver about these label sets: firing if any of them fires.

    `at_ms` is the time for which the message was due. It is part of the state before the message leaves, so that a replayed timer, however
    late, makes the same bytes.
    """
    receiver = to.receiver
    sequence = state.told[receiver].sequence
    ordered = sorted(members, key=lambda item: (not item[1].firing, item[1].starts_at, item[0]))
    generator = f"{policy.external_url}/alerts/{state.alert_id}" if policy.external_url else ""
    alerts = [_notified(name, member, generator) for name, member in ordered]
    status: Status = "firing" if any(member.firing for _, member in members) else "resolved"
    severity = SEVERITIES[max(rank(alert.labels.get("severity", "")) for alert in alerts if alert.status == status)]
    content: dict[str, Any] = {
        "status": status,
        "severity": severity,
        "receiver": receiver,
        "group_labels": dict(key.group),
        "common_labels": common([alert.labels for alert in alerts]),
        "common_annotations": common([alert.annotations for alert in alerts]),
        "external_url": policy.external_url,
        "alerts": alerts,
    }
    newest = max((member for _, member in members), key=lambda member: member.newest)
    title, text = definition.template.render(_context(key, state, definition, content, newest))
    return NotificationRecord(
        notification_id=notification_id(state.alert_id, receiver, sequence),
        alert_id=state.alert_id,
        tenant_id=key.tenant_id,
        receiver_type=to.type,
        sequence=sequence,
        group_key=key.to_text(),
        title=title,
        text=text,
        created_at=to_rfc3339(at_ms),
        config_version=policy.version,
        definition_id=key.definition_id,
        priority=definition.priority,
        **content,
    )


def decision_record(
    key: AlertKey,
    state: GroupState,
    receiver: str,
    outcome: Outcome,
    detail: str,
    at_ms: int,
    firing: int,
    resolved: int,
    *,
    until: str | None = None,
    notification: str | None = None,
) -> DecisionRecord:
    """A decision about the alert, numbered within it, so that a replay makes the same id."""
    return DecisionRecord(
        decision_id=stable_id(state.alert_id, "decision", state.decisions),
        alert_id=state.alert_id,
        tenant_id=key.tenant_id,
        receiver=receiver,
        at=to_rfc3339(at_ms),
        outcome=outcome,
        detail=detail,
        firing=firing,
        resolved=resolved,
        until=until,
        notification_id=notification,
    )


def _notified(name: str, member: Member, generator: str) -> NotifiedAlert:
    return NotifiedAlert(
        status="firing" if member.firing else "resolved",
        labels=member.labels,
        annotations=member.annotations,
        startsAt=to_rfc3339(member.starts_at),
        endsAt=STILL_FIRING if member.firing else to_rfc3339(member.last_seen),
        generatorURL=generator,
        fingerprint=name,
    )


def _context(key: AlertKey, state: GroupState, definition: CompiledDefinition, content: dict[str, Any], newest: Member) -> dict[str, Any]:
    """What a template sees, in Alertmanager's names, with `anomaly` (the specification's name) for the newest anomaly."""
    alerts: list[NotifiedAlert] = content["alerts"]
    source = definition.source
    return {
        **{name: content[name] for name in ("status", "severity", "receiver")},
        "groupLabels": content["group_labels"],
        "commonLabels": content["common_labels"],
        "commonAnnotations": content["common_annotations"],
        "externalURL": content["external_url"],
        "alerts": [
            {
                "status": alert.status,
                "labels": alert.labels,
                "annotations": alert.annotations,
                "startsAt": alert.startsAt,
                "endsAt": alert.endsAt,
            }
            for alert in alerts
        ],
        "firing": sum(alert.status == "firing" for alert in alerts),
        "alert_id": state.alert_id,
        "tenant_id": key.tenant_id,
        "starts_at": to_rfc3339(state.starts_at),
        "count": state.count,
        "definition": {"id": source.id, "name": source.name, "description": source.description},
        "anomaly": {**newest.labels, **newest.annotations, "title": newest.annotations.get("summary", "")},
    }
