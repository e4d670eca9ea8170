"""Records as flat rows for SQL sinks: column names (equal to those of the Postgres tables), their kinds, and the values of a record."""

from __future__ import annotations

import msgspec

from sentinel.alerting.control import Answer, Control
from sentinel.alerting.records import AlertRecord, DecisionRecord, NotificationRecord
from sentinel.anomaly import Anomaly
from sentinel.timestamps import to_rfc3339

Value = str | int | float | None
Columns = dict[str, type]

ANOMALY_COLUMNS: Columns = {
    "anomaly_id": str,
    "tenant_id": str,
    "application_id": str,
    "model": str,
    "detector_id": str,
    "detector_type": str,
    "metric": str,
    "severity": str,
    "score": float,
    "status": str,
    "title": str,
    "description": str,
    "entity_type": str,
    "entity_id": str,
    "baseline_value": float,
    "observed_value": float,
    "deviation": float,
    "threshold": float,
    "window_start": str,
    "window_end": str,
    "first_seen": str,
    "last_seen": str,
    "detected_at": str,
    "count": int,
    "config_version": int,
    "correlation_group": str,
    "root_anomaly_id": str,
    "related_anomalies": str,
    "sample_events": str,
    "record": str,
}

SHADOW_COLUMNS: Columns = {
    "anomaly_id": str,
    "tenant_id": str,
    "application_id": str,
    "model": str,
    "detector_id": str,
    "metric": str,
    "severity": str,
    "score": float,
    "description": str,
    "detected_at": str,
    "model_version": str,
    "record": str,
}

ALERT_COLUMNS: Columns = {
    "alert_id": str,
    "tenant_id": str,
    "definition_id": str,
    "status": str,
    "severity": str,
    "group_key": str,
    "fingerprint": str,
    "labels": str,
    "annotations": str,
    "starts_at": str,
    "ends_at": str,
    "last_seen": str,
    "count": int,
    "anomaly_ids": str,
    "receivers": str,
    "config_version": int,
    "updated_at": str,
    "record": str,
}

NOTIFICATION_COLUMNS: Columns = {
    "notification_id": str,
    "alert_id": str,
    "tenant_id": str,
    "receiver": str,
    "receiver_type": str,
    "sequence": int,
    "status": str,
    "severity": str,
    "title": str,
    "group_key": str,
    "created_at": str,
    "config_version": int,
    "record": str,
}

DECISION_COLUMNS: Columns = {
    "decision_id": str,
    "alert_id": str,
    "tenant_id": str,
    "receiver": str,
    "decided_at": str,
    "outcome": str,
    "detail": str,
    "firing": int,
    "resolved": int,
    "waits_until": str,
    "notification_id": str,
}

CONTROL_COLUMNS: Columns = {
    "control_id": str,
    "tenant_id": str,
    "action": str,
    "alert_id": str,
    "silence_id": str,
    "matchers": str,
    "until": str,
    "requested_by": str,
    "comment": str,
    "requested_at": str,
    "answered_at": str,
    "done": str,
    "detail": str,
}


def anomaly_row(anomaly: Anomaly) -> list[Value]:
    """Values in the order of `ANOMALY_COLUMNS`; the last one is the whole record as JSON."""
    metrics, context, entity = anomaly.metrics, anomaly.context, anomaly.affected_entity
    return [
        anomaly.anomaly_id,
        anomaly.tenant_id,
        anomaly.application_id,
        anomaly.model,
        anomaly.detector_id,
        anomaly.detector_type,
        anomaly.metric,
        anomaly.severity,
        float(anomaly.score),
        anomaly.status,
        anomaly.title,
        anomaly.description,
        entity.get("type"),
        entity.get("id"),
        _number(metrics.get("baseline_value")),
        _number(metrics.get("observed_value")),
        _number(metrics.get("deviation")),
        _number(metrics.get("threshold")),
        context.get("window_start"),
        context.get("window_end"),
        anomaly.first_seen or None,
        anomaly.last_seen or None,
        anomaly.timestamp,
        anomaly.count,
        anomaly.config_version,
        anomaly.correlation.get("group_id"),
        anomaly.correlation.get("root_anomaly_id"),
        _json(context.get("related_anomalies", [])),
        _json(context.get("sample_events", [])),
        anomaly.to_json().decode(),
    ]


def alert_row(alert: AlertRecord, updated_at: str) -> list[Value]:
    """Values in the order of `ALERT_COLUMNS`; `updated_at` is the processing time of this record."""
    return [
        alert.alert_id,
        alert.tenant_id,
        alert.definition_id,
        alert.status,
        alert.severity,
        alert.group_key,
        alert.fingerprint,
        _json(alert.labels),
        _json(alert.annotations),
        alert.starts_at,
        alert.ends_at,
        alert.last_seen,
        alert.count,
        _json(alert.anomaly_ids),
        _json(alert.receivers),
        alert.config_version,
        updated_at,
        alert.to_json().decode(),
    ]


def notification_row(notification: NotificationRecord) -> list[Value]:
    """Values in the order of `NOTIFICATION_COLUMNS`."""
    return [
        notification.notification_id,
        notification.alert_id,
        notification.tenant_id,
        notification.receiver,
        notification.receiver_type,
        notification.sequence,
        notification.status,
        notification.severity,
        notification.title,
        notification.group_key,
        notification.created_at,
        notification.config_version,
        notification.to_json().decode(),
    ]


def decision_row(decision: DecisionRecord) -> list[Value]:
    """Values in the order of `DECISION_COLUMNS`."""
    return [
        decision.decision_id,
        decision.alert_id,
        decision.tenant_id,
        decision.receiver,
        decision.at,
        decision.outcome,
        decision.detail,
        decision.firing,
        decision.resolved,
        decision.until,
        decision.notification_id,
    ]


def control_row(control: Control, answer: Answer, answered_at: str) -> list[Value]:
    """Values in the order of `CONTROL_COLUMNS`: who asked for what, and what came of it."""
    return [
        control.control_id,
        control.tenant_id,
        control.action,
        control.alert_id or None,
        control.silence_id or None,
        _json(control.matchers),
        to_rfc3339(control.until_ms) if control.until_ms else None,
        control.by,
        control.comment,
        control.at,
        answered_at,
        "true" if answer.done else "false",
        answer.detail,
    ]


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
