"""Postgres as the dispatcher uses it: a database that is away is waited for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, LiteralString

import psycopg
import stamina
from psycopg_pool import AsyncConnectionPool

from services.dispatcher.events import log_event, plain


class Database:
    """Statements over a connection pool, each in a transaction of its own."""

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

    async def run(self, sql: LiteralString, **parameters: object) -> list[tuple[Any, ...]]:
        """The rows of one statement, none when it has none. Waits as long as the database is away."""
        # Text is cleaned before it comes here, so that an error is the database's and passes, never the data's.
        rows: list[tuple[Any, ...]] = []
        async for attempt in stamina.retry_context(self._retry, attempts=None, timeout=None, wait_initial=0.1, wait_max=5, wait_jitter=0.5):
            with attempt:
                async with self._pool.connection() as connection:
                    cursor = await connection.execute(sql, parameters)
                    rows = await cursor.fetchall() if cursor.description else []
        self.away = False
        return rows

    def _retry(self, error: Exception) -> bool:
        if not isinstance(error, psycopg.Error):
            return False
        if not self.away:
            self.away = True
            self._on_trouble(plain(f"{type(error).__name__}: {error}"))
        return True
