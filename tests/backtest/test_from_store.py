"""`sentinel backtest --from-store` and `sentinel fit --from-store` on minutes in a real Postgres."""

from __future__ import annotations

import calendar
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
import yaml

from sentinel.config.load import load_config
from sentinel.panes import Pane
from services.cli.main import run
from services.storage.migrate import upgrade
from tests.models.stored import FIRST_S, minute_panes, store, world
from tests.support.postgres import running_postgres

MINUTES = 180
TROUBLE = range(150, 158)
TIMES = 4.0
BUCKETS_UP = 4
"""A bucket is 45 %, so four times the latency is almost four buckets."""


def slowed(pane: Pane) -> Pane:
    pane.latency_sum_us = round(pane.latency_sum_us * TIMES)
    pane.latency_max_us = round(pane.latency_max_us * TIMES)
    pane.latency_hist = [*[0] * BUCKETS_UP, *pane.latency_hist[:-BUCKETS_UP]]
    return pane


@pytest.fixture(scope="module")
def dsn() -> Iterator[str]:
    """Three hours of three applications; in minute 150 to 157 the first one's calls take four times as long."""
    apps, _ = world()
    panes = minute_panes(apps, MINUTES, np.random.default_rng(21))
    first = apps[0].name
    for pane in panes:
        if pane.application_id == first and (pane.start_ms // 1000 - FIRST_S) // 60 in TROUBLE:
            slowed(pane)
    with running_postgres() as server:
        database = server.database("backtest")
        upgrade(database)
        store(database, panes, shift_s=int(time.time()) // 60 * 60 - 60 * (MINUTES + 1) - FIRST_S)
        yield database


Command = Callable[..., Any]


@pytest.fixture
def command(dsn: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("SENTINEL_POSTGRES_DSN", dsn)

    def call(*arguments: str, code: int = 0) -> Any:
        done = run([*arguments])
        said = capsys.readouterr()
        assert done == code, said.err
        return said

    return call


def configuration(path: Path, detectors: list[dict[str, Any]]) -> str:
    path.write_text(yaml.safe_dump({"version": "v1", "detection": {"detectors": {"items": detectors}}}))
    return str(path)


def rule(threshold: float, **more: Any) -> dict[str, Any]:
    config = {"metric": "latency_ms", "threshold": threshold, "direction": "up"}
    return {"id": "slow", "type": "statistical", "strategy": "zscore", "config": config, **more}


def test_a_changed_rule_shows_what_it_would_have_raised(command: Command, dsn: str, tmp_path: Path) -> None:
    begun = int(time.time()) // 60 * 60 - 60 * (MINUTES + 1)
    file = configuration(tmp_path / "a.yaml", [rule(5.0), rule(1000.0) | {"id": "deaf"}])
    found = json.loads(command("backtest", "--from-store", "--config", file, "--since", "6h", "-o", "json").out)
    assert (found["minutes"], found["recorded"]) == (MINUTES, {})
    assert found["fired"]
    assert {(item["application_id"], item["detector_id"]) for item in found["fired"]} == {("app-00", "slow")}
    seen = [time.strptime(item["first_seen"][:19], "%Y-%m-%dT%H:%M:%S") for item in found["fired"]]
    minutes = {round((calendar.timegm(at) - begun) / 60) for at in seen}
    assert min(minutes) in (150, 151)
    assert max(minutes) <= 159
    assert max(item["score"] for item in found["fired"]) > 0.9
    assert "latency_ms of app-00/" in found["fired"][0]["description"]


def test_the_table_sets_it_against_what_was_recorded(command: Command, dsn: str, tmp_path: Path) -> None:
    file = configuration(
        tmp_path / "a.yaml", [rule(5.0), {"id": "words", "type": "rule", "strategy": "pattern", "config": {"patterns": ["x"]}}]
    )
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "INSERT INTO sentinel.anomalies (anomaly_id, tenant_id, application_id, detector_id, detected_at) "
            "VALUES ('a', 'acme', 'app-00', 'slow', now() - interval '20 minutes')"
        )
    try:
        said = command("backtest", "--from-store", "--config", file, "--since", "6h")
    finally:
        with psycopg.connect(dsn) as connection:
            connection.execute("DELETE FROM sentinel.anomalies")
    rows = [line.split() for line in said.out.splitlines() if line.split()[:1] == ["slow"]]
    assert rows and int(rows[0][1]) >= 1 and rows[0][2] == "1"
    assert "words is left out: it needs single events" in said.err
    assert f"{MINUTES} minutes" in said.err


@pytest.mark.parametrize("strategy", ["auto", "robust", "change_point"])
def test_a_strategy_by_name_watches_a_metric(command: Command, strategy: str) -> None:
    found = json.loads(
        command("backtest", "--from-store", "--detector", strategy, "--application", "app-00", "--since", "6h", "-o", "json").out
    )
    assert found["fired"]
    assert {item["metric"] for item in found["fired"]} == {"latency_ms"}


def test_another_tenant_sees_nothing(command: Command) -> None:
    said = command("backtest", "--from-store", "--tenant", "globex", "--since", "6h", code=1)
    assert "no stored minute between" in said.err
    assert "app-00" not in said.err + said.out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--detector", "robbust"], "did you mean robust?"),
        (["--detector", "robust", "--metric", "latencyms"], "did you mean latency_ms?"),
        (["--detector", "user-misuse"], "stored minutes cannot feed detector 'user-misuse': rollups do not know users"),
        (["--since", "yesterday"], "duration"),
        (["--input-dir", "."], "expected either folders or --from-store, found both"),
        (["--dsn", "postgresql://127.0.0.1:1/none"], "Postgres:"),
    ],
)
def test_what_cannot_be_replayed_is_said(command: Command, arguments: list[str], expected: str) -> None:
    assert expected in command("backtest", "--from-store", *arguments, code=1).err


def test_a_forecast_fitted_to_stored_minutes_is_a_detector_that_can_be_configured(command: Command, tmp_path: Path) -> None:
    said = command("fit", "arima", "--from-store", "--application", "app-00", "--metric", "latency_ms", "--since", "6h")
    snippet = yaml.safe_load(said.out)
    assert snippet[0]["config"]["evaluation"] == "1m"
    file = configuration(tmp_path / "fitted.yaml", snippet)
    load_config(file)
    found = json.loads(command("backtest", "--from-store", "--config", file, "--since", "6h", "-o", "json").out)
    assert "app-00" in {item["application_id"] for item in found["fired"]}
