"""One Postgres server a session, one migrated database a test."""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import psycopg
import pytest

from services.storage.migrate import upgrade
from tests.support.postgres import PostgresServer, running_postgres

numbers = count()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        yield server


@pytest.fixture
def dsn(postgres_server: PostgresServer) -> str:
    database = postgres_server.database(f"storage_{next(numbers)}")
    upgrade(database)
    return database


@pytest.fixture
def query(dsn: str) -> Callable[..., list[tuple[Any, ...]]]:
    def run(sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(dsn, autocommit=True) as connection:
            cursor = connection.execute(sql, parameters)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    return run
