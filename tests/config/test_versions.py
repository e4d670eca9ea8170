"""Versions in a real Postgres; Kafka is replaced by a list, or by a failure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sentinel.config.load import default_config, parse_config
from services.cli.main import run
from services.config_service import store
from services.config_service.topic import TopicError
from services.storage.migrate import upgrade
from tests.support.postgres import PostgresServer, running_postgres


@dataclass(frozen=True)
class Places:
    postgres_dsn: str
    kafka_bootstrap: str = "127.0.0.1:1"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running_postgres() as running:
        yield running


@pytest.fixture
def places(server: PostgresServer, request: pytest.FixtureRequest) -> Places:
    dsn = server.database(f"config_{request.node.name}"[:60])
    upgrade(dsn)
    return Places(dsn)


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, dict[str, Any]]]:
    records: list[tuple[int, dict[str, Any]]] = []
    monkeypatch.setattr(store, "ensure_topics", lambda bootstrap, names: [])
    monkeypatch.setattr(store, "publish_snapshot", lambda bootstrap, version, config: records.append((version, config)))
    return records


OTHER = parse_config("detection: {correlation: {window: 1m}}", "c.yaml")


def test_publish_current_history(places: Places, topic: list[tuple[int, dict[str, Any]]]) -> None:
    assert store.current(places) is None
    first = store.publish(places, default_config(), author="ann", comment="start")
    again = store.publish(places, default_config())
    second = store.publish(places, OTHER)
    assert again.version == first.version < second.version
    assert [version for version, _ in topic] == [first.version, first.version, second.version]
    assert topic[-1][1] == OTHER.config.to_snapshot()
    assert [entry.version for entry in store.history(places)] == [second.version, first.version]
    assert store.version(places, first.version).author == "ann"
    latest = store.current(places)
    assert latest and latest.sha256 == store.fingerprint(latest.config)


def test_no_version_stays_when_kafka_fails(
    places: Places, topic: list[tuple[int, dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise TopicError("Kafka is away")

    monkeypatch.setattr(store, "publish_snapshot", fail)
    with pytest.raises(store.ConfigServiceError, match="Kafka is away; the configuration in force is unchanged"):
        store.publish(places, OTHER)
    assert store.history(places) == []


def test_command_line(
    places: Places,
    topic: list[tuple[int, dict[str, Any]]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SENTINEL_POSTGRES_DSN", places.postgres_dsn)
    monkeypatch.setenv("SENTINEL_KAFKA_BOOTSTRAP", places.kafka_bootstrap)
    good, other, bad = tmp_path / "good.yaml", tmp_path / "other.yaml", tmp_path / "bad.yaml"
    good.write_text("metadata: {name: mine}")
    other.write_text("metadata: {name: other}")
    bad.write_text("alertin: {}")
    assert run(["config", "validate", str(good)]) == 0
    assert run(["config", "apply", str(good)]) == 0
    assert run(["config", "apply", str(other)]) == 0
    before = topic.copy()
    assert run(["config", "apply", str(bad)]) == 1
    assert "alertin: expected a known key; did you mean alerting?" in capsys.readouterr().err
    assert topic == before
    first = topic[0][0]
    assert run(["config", "rollback", str(first)]) == 0
    assert topic[-1][0] > first and topic[-1][1] == topic[0][1]
    assert run(["config", "show", str(first), "-o", "json"]) == 0
    assert run(["config", "history"]) == 0
    assert f"rollback to version {first}" in capsys.readouterr().out
    assert run(["config", "print"]) == 0
    assert "name: mine" in capsys.readouterr().out
    assert run(["config", "show", "999"]) == 1


def test_postgres_that_is_away() -> None:
    with pytest.raises(store.ConfigServiceError, match="Postgres"):
        store.current(Places("host=127.0.0.1 port=1 dbname=x user=x"))
