"""Incidents in Postgres: which one an alert belongs to, so that correlated groups share one and its end closes it."""

from __future__ import annotations

from dataclasses import dataclass

from services.dispatcher.database import Database
from services.dispatcher.events import plain

_FIND = """
SELECT incident_ref, incident_id, keys, firing FROM sentinel.incidents
WHERE tenant_id = %(tenant_id)s AND receiver = %(receiver)s AND state = 'open' AND keys && %(keys)s::text[] ORDER BY opened_at LIMIT 1
"""
_SAVE = """
INSERT INTO sentinel.incidents AS known (incident_ref, tenant_id, receiver, incident_id, state, severity, title, keys, firing)
VALUES (%(ref)s, %(tenant_id)s, %(receiver)s, %(incident_id)s, %(state)s, %(severity)s, %(title)s, %(keys)s, %(firing)s)
ON CONFLICT (incident_ref) DO UPDATE SET state = excluded.state, severity = excluded.severity, title = excluded.title, keys = excluded.keys,
    firing = excluded.firing, incident_id = excluded.incident_id, updated_at = now(), closed_at = CASE WHEN excluded.state = 'closed' THEN now() END
"""


@dataclass(frozen=True)
class Incident:
    """An open incident: `keys` are the groups and correlations that belong to it, `firing` the groups of it that fire."""

    ref: str
    incident_id: str
    keys: frozenset[str]
    firing: frozenset[str]


class IncidentBook:
    """The table `incidents`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, tenant_id: str, receiver: str, keys: frozenset[str]) -> Incident | None:
        """The open incident that has one of the keys, the oldest when there are several."""
        rows = await self._database.run(_FIND, tenant_id=tenant_id, receiver=receiver, keys=sorted(keys))
        return Incident(rows[0][0], rows[0][1], frozenset(rows[0][2]), frozenset(rows[0][3])) if rows else None

    async def save(self, tenant_id: str, receiver: str, incident: Incident, severity: str, title: str) -> None:
        """Books an incident as it is now; it is closed when nothing of it fires."""
        await self._database.run(
            _SAVE,
            ref=incident.ref,
            tenant_id=tenant_id,
            receiver=receiver,
            incident_id=plain(incident.incident_id),
            state="open" if incident.firing else "closed",
            severity=plain(severity),
            title=plain(title),
            keys=sorted(incident.keys),
            firing=sorted(incident.firing),
        )
