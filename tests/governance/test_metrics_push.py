"""The metrics push against a real Postgres and a real web server: what is sent, what a failure leaves, and that nothing is sent twice."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from sentinel.contract.metrics_aggregation import MetricsAggregation
from services.governance import push as module
from services.governance.push import Dashboard, PushError, dashboard, push
from services.storage.migrate import upgrade
from tests.support.postgres import PostgresServer, running_postgres

NOW = datetime(2026, 3, 2, 12, 30, 40, tzinfo=UTC)
numbers = count()


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running_postgres() as running:
        yield running


@pytest.fixture
def dsn(server: PostgresServer) -> str:
    database = server.database(f"governance_{next(numbers)}")
    upgrade(database)
    with psycopg.connect(database) as connection:
        for minute in range(20):
            at = datetime(2026, 3, 2, 12, minute, tzinfo=UTC)
            values = (
                "acme",
                "chat",
                "gpt",
                at,
                "on_time",
                10,
                10,
                10,
                1,
                10,
                5_000_000,
                900_000,
                10,
                1500,
                300,
                10,
                2_000_000_000,
                500_000_000,
            )
            columns = (
                "tenant_id, application_id, model, window_start, part, events, prompts, calls, errors, latency_count, latency_sum_us, "
            )
            columns += "latency_max_us, token_count, token_sum, token_max, cost_count, cost_sum_nano, cost_max_nano"
            connection.execute(f"INSERT INTO sentinel.rollups_1m ({columns}) VALUES ({', '.join(['%s'] * len(values))})", values)  # type: ignore[arg-type]
        anomaly = """INSERT INTO sentinel.anomalies (anomaly_id, tenant_id, application_id, detector_type, severity, first_seen, score)
                     VALUES (%s, %s, 'chat', 'rule', %s, %s, 0.9)"""
        for name, tenant, severity in (("a", "acme", "critical"), ("b", "acme", "critical"), ("c", "umbrella", "warning")):
            connection.execute(anomaly, (name, tenant, severity, NOW - timedelta(minutes=25)))
        alert = (
            "INSERT INTO sentinel.alerts (alert_id, tenant_id, severity, status, starts_at) VALUES ('al', 'acme', 'critical', 'firing', %s)"
        )
        connection.execute(alert, (NOW - timedelta(minutes=25),))
    return database


class Board:
    """A dashboard that keeps what it accepts and refuses what breaks the contract."""

    def __init__(self, server: HTTPServer) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.answers: list[Response] = []
        self.to = Dashboard(server.url_for("").rstrip("/"), "b0ard-key")
        server.expect_request("/api/v1/metrics", method="POST").respond_with_handler(self._take)

    def _take(self, request: Request) -> Response:
        assert request.headers["Authorization"] == "Bearer b0ard-key"
        body = request.get_json()
        for metric in body["metrics"]:
            MetricsAggregation.model_validate_json(json.dumps(metric))
        if self.answers:
            return self.answers.pop(0)
        self.keys.append(request.headers["Idempotency-Key"])
        self.bodies.append(body)
        return Response("", 202)

    def metrics(self) -> list[dict[str, Any]]:
        return [metric for body in self.bodies for metric in body["metrics"]]


@pytest.fixture
def board(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> Board:
    monkeypatch.setattr(module, "WAIT_S", 0.01)
    return Board(httpserver)


def test_every_metric_of_the_minutes_is_pushed_once(dsn: str, board: Board) -> None:
    pushed = push(dsn, board.to, now=NOW)
    assert (pushed[0].start, pushed[-1].end) == (NOW.replace(hour=11, minute=28, second=0), NOW.replace(minute=28, second=0))
    found = board.metrics()
    assert sum(turn.metrics for turn in pushed) == len(found)
    costs = [metric for metric in found if metric["metric_name"] == "cost_usd"]
    assert [(metric["value"], metric["unit"], metric["window_duration"]) for metric in costs] == [(2.0, "USD", "1m")] * 20
    assert costs[0]["dimensions"] == {"tenant_id": "acme", "application_id": "chat", "model": "gpt"}
    rates = [(m["dimensions"], m["value"]) for m in found if m["metric_name"] == "anomaly_rate"]
    usual = {"application_id": "chat", "detector_type": "rule"}
    assert rates == [
        ({"tenant_id": "acme", "severity": "critical", **usual}, 2.0),
        ({"tenant_id": "umbrella", "severity": "warning", **usual}, 1.0),
    ]
    assert [m["value"] for m in found if m["metric_name"] == "alert_rate"] == [1.0]
    assert push(dsn, board.to, now=NOW) == []
    assert board.metrics() == found


def test_a_push_goes_on_where_the_last_one_ended(dsn: str, board: Board) -> None:
    push(dsn, board.to, now=NOW - timedelta(minutes=15))
    (second,) = push(dsn, board.to, now=NOW - timedelta(minutes=10))
    assert (second.start.minute, second.end.minute) == (13, 18)
    seen = [(m["metric_name"], m["aggregation"], m["timestamp"], str(m["dimensions"])) for m in board.metrics()]
    assert len(set(seen)) == len(seen)


def test_what_failed_is_pushed_again_with_the_same_keys(dsn: str, board: Board) -> None:
    board.answers = [Response("busy", 503)] * 5
    with pytest.raises(PushError, match="HTTP 503 busy"):
        push(dsn, board.to, now=NOW)
    board.answers = [Response("busy", 503)]
    first = push(dsn, board.to, now=NOW)
    keys = list(board.keys)
    push(dsn, board.to, now=NOW, since=first[0].start)
    assert board.keys == keys * 2


@pytest.mark.parametrize("answer", [Response("no, b0ard-key", 401), Response("", 302, {"Location": "/"})])
def test_a_refusal_is_said_without_the_key(dsn: str, board: Board, answer: Response) -> None:
    board.answers = [answer]
    with pytest.raises(PushError, match=f"HTTP {answer.status_code}") as refused:
        push(dsn, board.to, now=NOW)
    assert "b0ard-key" not in str(refused.value)


def test_the_dashboard_of_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PushError, match=r"no integrations\.governanceDashboard\.endpoint"):
        dashboard({})
    section = {"endpoint": "http://d:1/", "apiKey": "${GOV_KEY}"}
    with pytest.raises(PushError, match="GOV_KEY is not set"):
        dashboard({"integrations": {"governanceDashboard": section}})
    monkeypatch.setenv("GOV_KEY", "k")
    assert dashboard({"integrations": {"governanceDashboard": section}}) == Dashboard("http://d:1", "k")


def test_the_command_pushes_by_a_configuration_file(dsn: str, board: Board, tmp_path: Path) -> None:
    file = tmp_path / "sentinel-config.yaml"
    file.write_text(f"integrations: {{governanceDashboard: {{endpoint: '{board.to.endpoint}', apiKey: '${{GOV_KEY}}'}}}}")
    command = [sys.executable, "-m", "services.cli.main", "governance", "push", "--once", "--config", str(file), "--since", "5m"]
    environment = {**os.environ, "SENTINEL_POSTGRES_DSN": dsn, "GOV_KEY": "b0ard-key"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("0 metrics of ")
