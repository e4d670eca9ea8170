"""`sentinel models` from the outside, on stored minutes in Postgres."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from services.cli.models_cmd import app

Run = Callable[..., Any]


@pytest.fixture
def models(dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("SENTINEL_POSTGRES_DSN", dsn)
    monkeypatch.setenv("SENTINEL_KAFKA_BOOTSTRAP", "127.0.0.1:1")
    monkeypatch.setenv("SENTINEL_HOME", str(tmp_path))

    def run(*arguments: str, code: int = 0) -> Any:
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == code, result.output + (result.stderr or "")
        return result

    return run


def test_train_shadow_compare_promote_rollback(models: Run, dsn: str, tmp_path: Path) -> None:
    said = models("train", "kmeans", "--name", "panes").stdout
    assert "model panes version 1 (kmeans): 1080 minutes of 6 keys" in said
    models("train", "kmeans", "--name", "panes", "--set", "clusters=3", "--seed", "2")
    models("promote", "panes", "1")
    models("shadow", "panes", "2")
    rows = json.loads(models("list", "-o", "json").stdout)
    assert [(row["version"], row["state"], row["kind"]) for row in rows] == [(1, "promoted", "kmeans"), (2, "shadow", "kmeans")]
    card = json.loads(models("show", "panes", "2").stdout)
    assert card["settings"]["clusters"] == 3 and card["state"] == "shadow" and card["trained"]["keys"] == 6
    assert card["features"] == ["error_rate", "latency_ms", "latency_p95_ms", "tokens_per_request", "cost_per_request"]
    with psycopg.connect(dsn) as connection:
        insert = "INSERT INTO sentinel.{} (anomaly_id, tenant_id, application_id, model, detected_at, description, {})"
        insert += " VALUES (%s, 'acme', 'app-00', 'm', now(), 'slow', %s)"
        for number in range(3):
            connection.execute(insert.format("shadow_anomalies", "model_version"), (f"s{number}", "panes/2"))  # type: ignore[arg-type]
        record = json.dumps({"labels": {"model_version": "panes/1"}})
        connection.execute(insert.format("anomalies", "record"), ("a", record))  # type: ignore[arg-type]
    found = json.loads(models("compare", "panes", "-o", "json").stdout)
    assert found["keys"] == [
        {"tenant_id": "acme", "application_id": "app-00", "model": "m", "in_force": 1, "shadow": 3, "both": 3, "example": ""}
    ]
    models("promote", "panes", "2")
    assert "version 1 is in force again, version 2 no longer" in models("rollback", "panes").stdout
    assert (tmp_path / "data" / "models" / "panes" / "index.json").exists(), "where running jobs look"


def test_replay_shows_what_a_version_would_have_said_about_the_past(models: Run, dsn: str) -> None:
    models("train", "dbscan", "--name", "panes")
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "UPDATE sentinel.rollups_1m SET latency_sum_us = latency_sum_us * 4 WHERE application_id = 'app-01' AND model = 'gpt-4'"
            " AND window_start > now() - interval '20 minutes' AND window_start < now() - interval '10 minutes'"
        )
    (row,) = json.loads(models("compare", "panes", "--version", "1", "--replay", "-o", "json").stdout)["keys"]
    assert (row["application_id"], row["model"], row["in_force"]) == ("app-01", "gpt-4", 0)
    assert 9 <= row["shadow"] <= 10 and "sigma" in row["example"]


def test_minutes_in_trouble_are_not_learned(models: Run, dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute(
            """INSERT INTO sentinel.anomalies (anomaly_id, tenant_id, application_id, model, window_start, window_end, first_seen, last_seen, status)
               SELECT 'a', 'acme', 'app-00', '', t, t + interval '9 minutes', t, t + interval '9 minutes', 'active'
               FROM (SELECT max(window_start) - interval '30 minutes' AS t FROM sentinel.rollups_1m) newest"""
        )
    assert "1060 minutes of 6 keys" in models("train", "kmeans").stdout
    assert "1080 minutes of 6 keys" in models("train", "kmeans", "--with-trouble").stdout


def test_a_tenants_model_learns_from_that_tenant(models: Run, dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("UPDATE sentinel.rollups_1m SET tenant_id = 'globex' WHERE application_id = 'app-02'")
    assert "360 minutes of 2 keys" in models("train", "kmeans", "--tenant", "globex").stdout
    assert json.loads(models("show", "kmeans").stdout)["tenant"] == "globex"
    assert "no stored minute of tenant nobody" in models("train", "kmeans", "--tenant", "nobody", code=1).stderr
    # The keys' names are not in the file.
    assert "540 minutes of 3 keys" in models("train", "kmeans", "--name", "whole", "--level", "application").stdout


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("train", "kmean"), "found 'kmean'; did you mean kmeans?"),
        (("train", "kmeans", "--feature", "latency"), "found 'latency'; did you mean latency_ms?"),
        (("train", "kmeans", "--set", "cluster=3"), "settings of kmeans are clusters; found 'cluster'; did you mean clusters?"),
        (("train", "kmeans", "--set", "clusters=many"), "expected int, found 'many'"),
        (("train", "kmeans", "--set", "clusters"), "expected NAME=NUMBER"),
        (("train", "kmeans", "--level", "user"), "expected a level of model, application"),
        (("train", "kmeans", "--since", "5m"), "train on a longer past"),
        (("train", "kmeans", "--since", "soon"), "--since 'soon'"),
        (("train", "kmeans", "--name", "../up"), "model name '../up'"),
        (("promote", "kmeans", "1"), "there is no model 'kmeans'; there are: none"),
        (("compare", "kmeans"), "there is no model 'kmeans'"),
    ],
)
def test_what_is_refused(models: Run, arguments: tuple[str, ...], reason: str) -> None:
    assert reason in models(*arguments, code=1).stderr


def test_a_damaged_version_is_listed_with_its_fault_and_not_promoted(models: Run, tmp_path: Path) -> None:
    models("train", "kmeans")
    (tmp_path / "data" / "models" / "kmeans" / "1" / "model.npz").write_bytes(b"PK")
    assert "the file was cut or altered" in models("promote", "kmeans", "1", code=1).stderr
    (tmp_path / "data" / "models" / "kmeans" / "1" / "card.json").write_text("{")
    assert "cut or altered" in json.loads(models("list", "-o", "json").stdout)[0]["error"]


def test_a_name_keeps_its_kind(models: Run) -> None:
    models("train", "kmeans", "--name", "panes")
    assert "model 'panes' is of kind kmeans" in models("train", "dbscan", "--name", "panes", code=1).stderr


def test_the_same_seed_gives_the_same_model(models: Run) -> None:
    sums = []
    for name in ("a", "b"):
        models("train", "isolation_forest", "--name", name, "--set", "trees=8")
        sums.append(json.loads(models("show", name).stdout)["checksum"])
    assert sums[0] == sums[1]
