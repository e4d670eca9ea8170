"""Alerts, their story and requests in Postgres."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, LiteralString

import psycopg
from psycopg.rows import dict_row

Row = dict[str, Any]

_LIST = """
SELECT alert_id, tenant_id, definition_id, status, severity, coalesce(labels ->> 'application_id', '') AS application_id,
       starts_at, last_seen, count, receivers
FROM sentinel.alerts
WHERE (%(status)s::text IS NULL OR status = %(status)s OR (%(status)s = 'active' AND status <> 'resolved'))
  AND (%(tenant)s::text IS NULL OR tenant_id = %(tenant)s)
ORDER BY starts_at DESC LIMIT %(limit)s
"""
_FIND = "SELECT * FROM sentinel.alerts WHERE alert_id = %(id)s OR alert_id LIKE %(prefix)s ORDER BY starts_at DESC LIMIT 2"
_STORY = """
SELECT d.decided_at AS at, d.receiver, d.outcome, d.detail, d.firing, d.resolved, d.waits_until, d.notification_id,
       l.state AS delivery, l.attempts, l.delivered_at, l.last_error, ahead.waits_until AS queue_waits_until
FROM sentinel.alert_decisions d
LEFT JOIN sentinel.notification_ledger l ON d.outcome = 'sent' AND l.notification_id = d.notification_id
LEFT JOIN LATERAL (
    SELECT max(w.waits_until) AS waits_until FROM sentinel.alert_decisions w
    WHERE d.outcome = 'sent' AND l.notification_id IS NULL AND w.receiver = d.receiver AND w.outcome IN ('waiting', 'failed') AND w.waits_until > now()
) ahead ON true
WHERE d.alert_id = %(id)s ORDER BY d.decided_at, d.decision_id
"""
_ENFORCED = """
SELECT kind, target_entity, CASE WHEN state = 'enforced' AND expires_at <= now() THEN 'expired' ELSE state END AS state, reason, message,
       enforced_at, expires_at, revoked_at
FROM sentinel.shield_actions
WHERE tenant_id = %(tenant)s AND (alert_id = %(id)s OR anomaly_id = ANY(%(anomalies)s)) ORDER BY enforced_at, action_id
"""
_ANSWER = "SELECT done, detail, answered_at FROM sentinel.alert_controls WHERE control_id = %(id)s"
_SILENCES = """
SELECT DISTINCT ON (silence_id) silence_id, tenant_id, action, matchers, until, requested_by, comment, answered_at
FROM sentinel.alert_controls WHERE done AND silence_id IS NOT NULL AND (%(tenant)s::text IS NULL OR tenant_id = %(tenant)s)
ORDER BY silence_id, answered_at DESC
"""


class AlertError(ValueError):
    """There is no such alert, or the database cannot be asked; the text says which."""


def alerts(dsn: str, *, status: str | None, tenant: str | None, limit: int) -> list[Row]:
    """The newest alerts. `active` is every status but `resolved`."""
    return _rows(dsn, _LIST, status=status, tenant=tenant, limit=limit)


def alert(dsn: str, name: str) -> Row:
    """One alert by id, or by the beginning of its id. Raises AlertError."""
    if len(name) < 4:
        raise AlertError("expected at least four characters of an alert's id")
    escaped = name.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    found = _rows(dsn, _FIND, id=name, prefix=f"{escaped}%")
    exact = [row for row in found if row["alert_id"] == name]
    if not found:
        raise AlertError(f"there is no alert {name}; `sentinel alerts list` shows them")
    if len(found) > 1 and not exact:
        raise AlertError(f"several alerts begin with {name}; write more of the id")
    return (exact or found)[0]


def story(dsn: str, alert_id: str) -> list[Row]:
    """Every decision about an alert in order, the dispatcher's among them. `queue_waits_until`: until when, at least, a message that the
    dispatcher did not take up yet waits for others to the same receiver."""
    return _rows(dsn, _STORY, id=alert_id)


def enforced(dsn: str, alert: Row) -> list[Row]:
    """What Shield was asked to do by an alert and its anomalies, and what became of it."""
    return _rows(dsn, _ENFORCED, id=alert["alert_id"], tenant=alert["tenant_id"], anomalies=list(alert["anomaly_ids"] or ()))


def answer(dsn: str, control_id: str) -> Row | None:
    """What the job answered to a request, once it did."""
    return next(iter(_rows(dsn, _ANSWER, id=control_id)), None)


def silences(dsn: str, tenant: str | None) -> list[Row]:
    """Silences in force."""
    now = datetime.now(UTC)
    return [row for row in _rows(dsn, _SILENCES, tenant=tenant) if row["action"] == "silence" and row["until"] > now]


def _rows(dsn: str, sql: LiteralString, **values: object) -> list[Row]:
    try:
        with psycopg.connect(dsn, connect_timeout=10, row_factory=dict_row, application_name="sentinel alerts") as connection:
            return connection.execute(sql, values).fetchall()
    except psycopg.Error as error:
        raise AlertError(f"Postgres cannot be asked: {str(error).splitlines()[0]}") from None
