"""Versions of the effective configuration: kept in Postgres, published on the compacted topic `sentinel-config`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString, Protocol

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from sentinel.config.load import LoadedConfig
from services.config_service.topic import TOPIC, TopicError, publish_snapshot
from services.stack.errors import StackError
from services.stack.topics import ensure_topics

_LOCK: LiteralString = "SELECT pg_advisory_xact_lock(hashtext('sentinel.config_versions'))"
_LATEST: LiteralString = (
    "SELECT version, created_at, author, comment, config, sha256 FROM sentinel.config_versions ORDER BY version DESC LIMIT %s"
)
_ONE: LiteralString = "SELECT version, created_at, author, comment, config, sha256 FROM sentinel.config_versions WHERE version = %s"
_INSERT: LiteralString = (
    "INSERT INTO sentinel.config_versions (author, comment, config, sha256) VALUES (%s, %s, %s, %s)"
    " RETURNING version, created_at, author, comment, config, sha256"
)


class Endpoints(Protocol):
    """Where Kafka and Postgres are."""

    @property
    def kafka_bootstrap(self) -> str: ...

    @property
    def postgres_dsn(self) -> str: ...


class ConfigServiceError(Exception):
    """Postgres or Kafka could not be reached or refused; nothing was changed."""


@dataclass(frozen=True)
class ConfigVersion:
    """One published version. `config` is the effective configuration (`SentinelConfig.to_snapshot()`)."""

    version: int
    created_at: datetime
    author: str | None
    comment: str | None
    config: dict[str, Any]
    sha256: str


def publish(endpoints: Endpoints, loaded: LoadedConfig, *, author: str | None = None, comment: str | None = None) -> ConfigVersion:
    """Make a configuration the one in force. An unchanged one keeps its version, and is only written to the topic again.

    Raises:
        ConfigServiceError: nothing was changed.
    """
    return publish_config(endpoints, loaded.config.to_snapshot(), author=author, comment=comment)


def publish_config(endpoints: Endpoints, config: dict[str, Any], *, author: str | None = None, comment: str | None = None) -> ConfigVersion:
    """`publish` for an effective configuration that was validated before.

    The record is acknowledged by Kafka before the row is committed, and publishers wait for one another: versions are in order on
    the topic, and a failure of Kafka leaves no version behind. Topics of new receivers are created first.

    Raises:
        ConfigServiceError: nothing was changed.
    """
    digest = fingerprint(config)
    topics = [TOPIC, *(f"notify-{receiver['name']}" for receiver in config["alerting"]["receivers"])]
    try:
        ensure_topics(endpoints.kafka_bootstrap, topics)
    except StackError as error:
        raise ConfigServiceError(f"{error} The configuration in force is unchanged.") from None
    with _connection(endpoints) as connection, connection.cursor(row_factory=class_row(ConfigVersion)) as cursor:
        cursor.execute(_LOCK)
        latest = cursor.execute(_LATEST, (1,)).fetchone()
        if latest is None or latest.sha256 != digest:
            latest = cursor.execute(_INSERT, (author, comment, Jsonb(config), digest)).fetchone()
        assert latest is not None  # INSERT … RETURNING gives its row
        try:
            publish_snapshot(endpoints.kafka_bootstrap, latest.version, latest.config)
        except TopicError as error:
            raise ConfigServiceError(f"{error}; the configuration in force is unchanged") from None
    return latest


def current(endpoints: Endpoints) -> ConfigVersion | None:
    """The newest version, or None when none was published yet.

    Raises:
        ConfigServiceError: Postgres cannot be reached.
    """
    with _connection(endpoints) as connection, connection.cursor(row_factory=class_row(ConfigVersion)) as cursor:
        return cursor.execute(_LATEST, (1,)).fetchone()


def version(endpoints: Endpoints, number: int) -> ConfigVersion:
    """One version.

    Raises:
        ConfigServiceError: there is no such version, or Postgres cannot be reached.
    """
    with _connection(endpoints) as connection, connection.cursor(row_factory=class_row(ConfigVersion)) as cursor:
        found = cursor.execute(_ONE, (number,)).fetchone()
    if found is None:
        raise ConfigServiceError(f"there is no configuration version {number}; `sentinel config history` lists them")
    return found


def history(endpoints: Endpoints, limit: int = 50) -> list[ConfigVersion]:
    """The newest versions, newest first.

    Raises:
        ConfigServiceError: Postgres cannot be reached.
    """
    with _connection(endpoints) as connection, connection.cursor(row_factory=class_row(ConfigVersion)) as cursor:
        return cursor.execute(_LATEST, (limit,)).fetchall()


def fingerprint(config: dict[str, Any]) -> str:
    """SHA-256 of the configuration as JSON with sorted keys."""
    return hashlib.sha256(json.dumps(config, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()


@contextmanager
def _connection(endpoints: Endpoints) -> Iterator[psycopg.Connection]:
    try:
        with psycopg.connect(endpoints.postgres_dsn, connect_timeout=10) as connection:
            yield connection
    except psycopg.errors.UndefinedTable:
        raise ConfigServiceError("Postgres has no table sentinel.config_versions: expected the migrations to have run") from None
    except psycopg.Error as error:
        raise ConfigServiceError(f"Postgres: {str(error).strip().splitlines()[0]}") from None
