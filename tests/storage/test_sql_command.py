"""`sentinel sql` reads, never writes, and says what is wrong."""

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from services.cli.sql_cmd import QueryError, register, run_query

Query = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def sentinel(dsn: str) -> Callable[..., Any]:
    app = typer.Typer()
    register(app)
    return lambda *arguments: CliRunner().invoke(app, [*arguments, "--dsn", dsn])


@pytest.fixture(autouse=True)
def anomalies(query: Query) -> None:
    for number, tenant in enumerate(["acme", "acme", "globex"]):
        query(
            """INSERT INTO sentinel.anomalies (anomaly_id, tenant_id, title, score, detected_at, sample_events)
               VALUES (%s, %s, %s, 0.5, '2026-01-02T03:04:05Z', '["e"]')""",
            f"a{number}",
            tenant,
            "spike \x1b[31m[bold]",
        )


def test_a_table_shows_text_and_obeys_none_of_it(sentinel: Callable[..., Any]) -> None:
    result = sentinel("SELECT anomaly_id, title, score FROM anomalies ORDER BY 1")
    assert result.exit_code == 0
    assert "\x1b[31m" not in result.stdout
    assert "spike \\x1b[31m[bold]" in result.stdout
    assert "3 rows" in result.stdout


def test_json_and_csv(sentinel: Callable[..., Any]) -> None:
    text = "SELECT anomaly_id, detected_at, sample_events, model FROM anomalies ORDER BY 1 LIMIT 1"
    (row,) = json.loads(sentinel(text, "-o", "json").stdout)
    assert row == {"anomaly_id": "a0", "detected_at": row["detected_at"], "sample_events": ["e"], "model": None}
    assert row["detected_at"].startswith("2026-01-02T03:04:05")
    assert list(csv.reader(io.StringIO(sentinel(text, "-o", "csv").stdout)))[1][2:] == ['["e"]', ""]


def test_one_tenant_only(sentinel: Callable[..., Any]) -> None:
    rows = json.loads(sentinel("SELECT DISTINCT tenant_id FROM anomalies", "-o", "json", "--tenant", "globex").stdout)
    assert rows == [{"tenant_id": "globex"}]


def test_an_unknown_table_names_the_nearest_view(sentinel: Callable[..., Any]) -> None:
    result = sentinel("SELECT * FROM anomalys")
    assert result.exit_code == 1
    assert "there is no view 'anomalys'; did you mean 'anomalies'?" in result.stderr


def test_a_percent_sign_is_a_percent_sign(sentinel: Callable[..., Any]) -> None:
    assert sentinel("SELECT * FROM anomalies WHERE title LIKE 'spike%'").exit_code == 0


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("SELECT nonsense FROM anomalies", 'column "nonsense" does not exist\nat character 8 of the query'),
        ("SELEC 1", "syntax error"),
        ("DELETE FROM sentinel.anomalies", "permission denied|read-only"),
        ("SELECT 1; RESET ROLE; DROP TABLE sentinel.anomalies", "multiple commands"),
        ("RESET ROLE", "expected a query that returns rows"),
        ("COPY (SELECT 1) TO PROGRAM 'true'", "permission denied"),
        ("SELECT config FROM sentinel.config_versions", "permission denied"),
        ("", "expected a query that returns rows"),
    ],
)
def test_what_is_refused(dsn: str, text: str, reason: str) -> None:
    with pytest.raises(QueryError, match=reason):
        run_query(dsn, text)


def test_a_query_that_takes_too_long_is_stopped(dsn: str) -> None:
    with pytest.raises(QueryError, match=r"took longer than 0\.2 s"):
        run_query(dsn, "SELECT pg_sleep(5)", timeout_s=0.2)


def test_the_limit(dsn: str) -> None:
    _, rows, more = run_query(dsn, "SELECT generate_series(1, 100)", limit=10)
    assert (len(rows), more) == (10, True)


def test_postgres_away() -> None:
    with pytest.raises(QueryError, match="Postgres cannot be reached"):
        run_query("host=127.0.0.1 port=1 dbname=x", "SELECT 1")
