"""What Sentinel's own tables say about the running demonstration."""

from __future__ import annotations

import psycopg
from psycopg.rows import TupleRow

from services.demo.matching import Findings, FoundAlert, FoundAnomaly, Told

_ANOMALIES = """
    SELECT anomaly_id, tenant_id, coalesce(application_id, ''), coalesce(detector_id, ''), coalesce(metric, ''),
           coalesce(severity, ''), coalesce(title, ''), (extract(epoch FROM first_seen) * 1000)::bigint,
           (extract(epoch FROM coalesce(detected_at, first_seen)) * 1000)::bigint
    FROM sentinel.anomalies WHERE coalesce(detected_at, first_seen) >= to_timestamp(%s) ORDER BY 9
"""
_ALERTS = """
    SELECT alert_id, tenant_id, coalesce(labels ->> 'application_id', ''), coalesce(labels ->> 'detector_id', ''),
           coalesce(labels ->> 'metric', ''), coalesce(definition_id, ''), coalesce(severity, ''), coalesce(status, ''),
           (extract(epoch FROM starts_at) * 1000)::bigint, coalesce(count, 1)
    FROM sentinel.alerts WHERE starts_at >= to_timestamp(%s) ORDER BY starts_at
"""
_TOLD = """
    SELECT n.alert_id, n.receiver, n.receiver_type, n.status,
           CASE WHEN l.state = 'delivered' THEN (extract(epoch FROM l.delivered_at) * 1000)::bigint END,
           coalesce(d.detail, '')
    FROM sentinel.notifications n LEFT JOIN sentinel.notification_ledger l USING (notification_id)
    LEFT JOIN sentinel.alert_decisions d ON d.alert_id = n.alert_id AND d.outcome = 'sent' AND d.notification_id = n.notification_id
    WHERE n.created_at >= to_timestamp(%s) ORDER BY n.created_at
"""


class FindingsReader:
    """Reads anomalies, alerts and notifications since `start_ms`; reconnects after a database restart."""

    def __init__(self, dsn: str, start_ms: int) -> None:
        self._dsn = dsn
        self._since = start_ms / 1000.0
        self._connection: psycopg.Connection[TupleRow] | None = None

    def read(self) -> Findings | None:
        """All findings, or None while Postgres does not answer."""
        try:
            if self._connection is None:
                self._connection = psycopg.connect(self._dsn, autocommit=True, connect_timeout=3)
            since = (self._since,)
            anomalies = tuple(FoundAnomaly(*row) for row in self._connection.execute(_ANOMALIES, since))
            alerts = tuple(FoundAlert(*row) for row in self._connection.execute(_ALERTS, since))
            told = tuple(Told(*row) for row in self._connection.execute(_TOLD, since))
        except psycopg.OperationalError:
            self.close()
            return None
        return Findings(anomalies, alerts, told)

    def close(self) -> None:
        """Drop the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
