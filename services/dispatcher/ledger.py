"""The ledger of notifications in Postgres: what was sent is known by notification id, and is not sent again.

States: `sending` (begun), `failed` (an attempt failed, another follows), `delivered`, `dead` (given up, on the dead-letter topic).

What became of a message about an alert is also a decision on record (`alert_decisions`), written in the statement that books it: the story of
an alert and the ledger cannot contradict each other.
"""

from __future__ import annotations

from typing import Literal, LiteralString, Protocol

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
_DECIDED = """
INSERT INTO sentinel.alert_decisions AS known (decision_id, alert_id, tenant_id, receiver, decided_at, outcome, detail, waits_until, notification_id)
SELECT %(id)s || '/' || %(outcome)s || '/' || booked.attempts || %(mark)s, %(alert_id)s, %(tenant_id)s, %(receiver)s, now(), %(outcome)s,
    CASE WHEN %(outcome)s IN ('delivered', 'failed') THEN 'attempt ' || booked.attempts || ': ' ELSE '' END || %(detail)s,
    now() + make_interval(secs => %(wait_s)s::double precision), %(id)s
FROM booked WHERE %(alert_id)s <> ''
ON CONFLICT (decision_id) DO UPDATE SET waits_until = excluded.waits_until
"""
_ATTEMPTED = """
WITH booked AS (
    UPDATE sentinel.notification_ledger SET state = %(state)s, attempts = attempts + 1, last_error = %(note)s,
        delivered_at = CASE WHEN %(state)s = 'delivered' THEN now() END
    WHERE notification_id = %(id)s RETURNING attempts)
"""
_DEAD = """
WITH booked AS (
    UPDATE sentinel.notification_ledger SET state = 'dead', last_error = %(note)s WHERE notification_id = %(id)s RETURNING attempts)
"""
_WAITING = "WITH booked AS (SELECT attempts FROM sentinel.notification_ledger WHERE notification_id = %(id)s)"


class Message(Protocol):
    """What a record holds, whoever it is for; the ledger goes by `notification_id`. `alert_id` is empty when it is about no alert."""

    notification_id: str
    receiver: str
    tenant_id: str
    title: str
    alert_id: str


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

    async def delivered(self, message: Message, note: str | None = None) -> None:
        """Books the acceptance by the receiver; `note` says what it did not accept (some recipients of a mail)."""
        text = plain(note) if note else None
        await self._book(_ATTEMPTED + _DECIDED, message, "delivered", text or "accepted", state="delivered", note=text)

    async def failed(self, message: Message, reason: str, wait_s: float | None = None) -> None:
        """Books a failed attempt; `wait_s` seconds later, at the earliest, comes the next (None: there is none)."""
        await self._book(_ATTEMPTED + _DECIDED, message, "failed", plain(reason), state="failed", note=plain(reason), wait_s=wait_s)

    async def waits(self, message: Message, why: str, wait_s: float) -> None:
        """Puts on record that the message waits so many seconds for its receiver. The same wait gone on is one decision."""
        await self._book(_WAITING + _DECIDED, message, "waiting", plain(why), mark=f"/{plain(why)}", wait_s=wait_s)

    async def dead(self, message: Message, reason: str) -> None:
        """Books that the notification was given up and lies on the dead-letter topic."""
        await self._book(_DEAD + _DECIDED, message, "dead", f"given up, on the dead-letter topic: {plain(reason)}", note=plain(reason))

    async def _book(
        self,
        sql: LiteralString,
        message: Message,
        outcome: str,
        detail: str,
        *,
        mark: str = "",
        wait_s: float | None = None,
        **values: object,
    ) -> None:
        about = {"id": message.notification_id, "alert_id": plain(message.alert_id), "tenant_id": plain(message.tenant_id)}
        await self.database.run(
            sql, **about, receiver=plain(message.receiver), outcome=outcome, detail=detail, mark=mark, wait_s=wait_s, **values
        )
