"""The ledger of notifications in Postgres: what was sent is known by notification id, and is not sent again.

States: `sending` (begun), `failed` (an attempt failed, another follows), `delivered`, `dead` (given up, on the dead-letter topic).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, LiteralString

import psycopg
import stamina
from psycopg_pool import AsyncConnectionPool

from services.dispatcher.events import log_event, plain

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
    """The ledger over a connection pool. A database that is away is waited for: nothing is sent that cannot be booked."""

    def __init__(self, dsn: str, on_trouble: Callable[[str], None] = lambda reason: log_event("postgres_away", error=reason)) -> None:
        self._pool = AsyncConnectionPool(
            dsn, min_size=1, max_size=4, open=False, timeout=5, kwargs={"autocommit": True, "connect_timeout": 5}, name="ledger"
        )
        self._on_trouble = on_trouble
        self.away = False

    async def open(self) -> None:
        """Begins to connect in the background; does not wait for the database."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        await self._pool.close(timeout=2)

    async def begin(self, notification_id: str, receiver: str, sha256: str, *, again: bool = False) -> State:
        """Books that a notification is about to be sent. Returns `sending` when it is to be sent, else the final state
        that it already has. `again` takes a dead one up once more (a replay from the dead-letter topic)."""
        row = await self._run(_BEGIN, id=notification_id, receiver=plain(receiver), sha256=sha256, again=again)
        assert row is not None
        state: State = row[0]
        return state

    async def delivered(self, notification_id: str, note: str | None = None) -> None:
        """Books the acceptance by the receiver; `note` says what it did not accept (some recipients of a mail)."""
        await self._run(_ATTEMPTED, id=notification_id, state="delivered", note=plain(note) if note else None)

    async def failed(self, notification_id: str, reason: str) -> None:
        """Books a failed attempt."""
        await self._run(_ATTEMPTED, id=notification_id, state="failed", note=plain(reason))

    async def dead(self, notification_id: str, reason: str) -> None:
        """Books that the notification was given up and lies on the dead-letter topic."""
        await self._run(_DEAD, id=notification_id, note=plain(reason))

    async def _run(self, sql: LiteralString, **parameters: object) -> tuple[Any, ...] | None:
        # Text is cleaned before it comes here, so that an error is the database's and passes, never the data's.
        row: tuple[Any, ...] | None = None
        async for attempt in stamina.retry_context(self._retry, attempts=None, timeout=None, wait_initial=0.1, wait_max=5, wait_jitter=0.5):
            with attempt:
                async with self._pool.connection() as connection:
                    cursor = await connection.execute(sql, parameters)
                    row = await cursor.fetchone() if cursor.description else None
        self.away = False
        return row

    def _retry(self, error: Exception) -> bool:
        if not isinstance(error, psycopg.Error):
            return False
        if not self.away:
            self.away = True
            self._on_trouble(plain(f"{type(error).__name__}: {error}"))
        return True
