"""The ledger of notifications in Postgres: what was sent is known by notification id, and is not sent again.

States: `sending` (begun), `failed` (an attempt failed, another follows), `delivered`, `dead` (given up, on the dead-letter topic).
"""

from __future__ import annotations

from typing import Literal

from services.dispatcher.database import Database
from services.dispatcher.events import plain

State = Literal["sending", "delivered", "failed", "dead"]

_BEGIN = """
INSERT INTO sentinel.notification_ledger AS ledger (notification_id, receiver, state, attempts, first_attempt_at, payload_sha256)
VALUES (%(id)s, %(receiver)s, 'sending', 0, now(), %(sha256)s)
ON CONFLICT (notification_id) DO UPDATE SET state = CASE
    WHEN ledger.state = 'delivered' OR (ledger.state = 'dead' AND NOT %(again)s) THEN ledger.state ELSE 'sending' END
RETURNING state
"""
_ATTEMPTED = """
UPDATE sentinel.notification_ledger SET state = %(state)s, attempts = attempts + 1, last_error = %(note)s,
    delivered_at = CASE WHEN %(state)s = 'delivered' THEN now() END
WHERE notification_id = %(id)s
"""
_DEAD = "UPDATE sentinel.notification_ledger SET state = 'dead', last_error = %(note)s WHERE notification_id = %(id)s"


class Ledger:
    """The ledger in a database that is waited for: nothing is sent that cannot be booked."""

    def __init__(self, dsn: str) -> None:
        self.database = Database(dsn)

    async def open(self) -> None:
        """Begins to connect in the background; does not wait for the database."""
        await self.database.open()

    async def close(self) -> None:
        await self.database.close()

    async def begin(self, notification_id: str, receiver: str, sha256: str, *, again: bool = False) -> State:
        """Books that a notification is about to be sent. Returns `sending` when it is to be sent, else the final state
        that it already has. `again` takes a dead one up once more (a replay from the dead-letter topic)."""
        rows = await self.database.run(_BEGIN, id=notification_id, receiver=plain(receiver), sha256=sha256, again=again)
        state: State = rows[0][0]
        return state

    async def delivered(self, notification_id: str, note: str | None = None) -> None:
        """Books the acceptance by the receiver; `note` says what it did not accept (some recipients of a mail)."""
        await self.database.run(_ATTEMPTED, id=notification_id, state="delivered", note=plain(note) if note else None)

    async def failed(self, notification_id: str, reason: str) -> None:
        """Books a failed attempt."""
        await self.database.run(_ATTEMPTED, id=notification_id, state="failed", note=plain(reason))

    async def dead(self, notification_id: str, reason: str) -> None:
        """Books that the notification was given up and lies on the dead-letter topic."""
        await self.database.run(_DEAD, id=notification_id, note=plain(reason))
