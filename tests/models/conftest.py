"""One Postgres server a session with three hours of stored minutes in a database of each test; models trained once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count

import pytest

from sentinel.models.artifact import Card
from services.models.minutes import Minutes
from services.models.training import train
from services.storage.migrate import upgrade
from tests.detection.synthetic import Application
from tests.models.stored import FIRST_S, MINUTES, as_minutes, store, world
from tests.support.postgres import PostgresServer, running_postgres

numbers = count()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        yield server


@pytest.fixture
def dsn(postgres_server: PostgresServer) -> str:
    """A database whose newest stored minute is the last one."""
    database = postgres_server.database(f"models_{next(numbers)}")
    upgrade(database)
    store(database, world()[1], shift_s=int(time.time()) // 60 * 60 - 60 * (MINUTES + 1) - FIRST_S)
    return database


@pytest.fixture(scope="session")
def apps() -> list[Application]:
    return world()[0]


@pytest.fixture(scope="session")
def minutes() -> Minutes:
    return as_minutes(world()[1])


@pytest.fixture(scope="session")
def trained(minutes: Minutes) -> dict[str, tuple[Card, bytes]]:
    """A version 1 of each kind."""
    kinds = ("isolation_forest", "kmeans", "dbscan", "autoencoder", "lstm")
    return {kind: train(minutes, name=kind, version=1, kind=kind) for kind in kinds}
