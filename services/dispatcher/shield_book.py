"""The actions that Shield took, in Postgres: what an alert's end revokes, and what people look up."""

from __future__ import annotations

from datetime import UTC, datetime

from services.dispatcher.database import Database
from services.dispatcher.events import plain
from services.dispatcher.shield_orders import Order, Request
from services.shield.client import Enforced

_ENFORCED = """
INSERT INTO sentinel.shield_actions (action_id, tenant_id, anomaly_id, alert_id, kind, target_entity, endpoint, reason, state, message,
                                     enforced_at, expires_at)
VALUES (%(action_id)s, %(tenant_id)s, %(anomaly_id)s, %(alert_id)s, %(kind)s, %(target)s, %(endpoint)s, %(reason)s, %(state)s, %(message)s,
        %(enforced_at)s, %(expires_at)s)
ON CONFLICT (action_id) DO UPDATE SET message = excluded.message,
    state = CASE WHEN sentinel.shield_actions.state = 'revoked' THEN 'revoked' ELSE excluded.state END
"""
_IN_FORCE = """
SELECT action_id, endpoint FROM sentinel.shield_actions
WHERE tenant_id = %(tenant_id)s AND state = 'enforced' AND expires_at > now() AND (alert_id = %(alert_id)s OR anomaly_id = ANY(%(anomaly_ids)s))
ORDER BY enforced_at, action_id
"""
_REVOKED = "UPDATE sentinel.shield_actions SET state = 'revoked', revoked_at = now(), message = %(message)s WHERE action_id = %(action_id)s"


class ShieldBook:
    """The table `shield_actions`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def enforced(self, order: Order, request: Request, endpoint: str, answer: Enforced) -> None:
        """Books what Shield said to one request."""
        await self._database.run(
            _ENFORCED,
            action_id=request.action_id,
            tenant_id=order.tenant_id,
            anomaly_id=None if order.alert_id or not order.anomaly_ids else order.anomaly_ids[0],
            alert_id=order.alert_id or None,
            kind=request.kind,
            target=plain(request.target),
            endpoint=endpoint,
            reason=plain(request.reason),
            state="enforced" if answer.success else "refused",
            message=plain(answer.message),
            enforced_at=answer.at,
            expires_at=datetime.fromtimestamp(request.ends_ms / 1000, UTC),
        )

    async def in_force(self, order: Order) -> list[tuple[str, str]]:
        """(action id, endpoint) of the alert's own actions, and of those of its anomalies, that are not over; oldest first."""
        rows = await self._database.run(_IN_FORCE, tenant_id=order.tenant_id, alert_id=order.alert_id, anomaly_ids=order.anomaly_ids)
        return [(row[0], row[1]) for row in rows]

    async def revoked(self, action_id: str, message: str) -> None:
        """Books the end of an action."""
        await self._database.run(_REVOKED, action_id=action_id, message=plain(message))
