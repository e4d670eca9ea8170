"""The query that an anomaly carries runs on the views, for every metric that a detector may name, and answers with its minutes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sentinel.anomaly import Anomaly
from sentinel.evidence import evidence_sql
from sentinel.metrics_vocabulary import METRICS
from services.cli.sql_cmd import run_query
from services.storage.migrate import upgrade
from tests.support.postgres import running_postgres

ROW = """INSERT INTO sentinel.rollups_1m (tenant_id, application_id, model, window_start, part, events, prompts, calls, errors, latency_count,
         latency_sum_us, latency_max_us, token_count, token_sum, token_max, cost_count, cost_sum_nano, cost_max_nano, latency_hist_9)
         VALUES (%s, %s, 'm', %s, 'on_time', 120, 60, 60, 3, 60, 60000, 5000, 60, 600, 50, 60, 60, 9, 60)"""


@pytest.fixture(scope="module")
def dsn() -> Iterator[str]:
    import psycopg

    with running_postgres() as server:
        database = server.database("evidence")
        upgrade(database)
        with psycopg.connect(database) as connection:
            for tenant, application, minute in (
                ("a'cme", "chat", "2027-01-15T07:29:00Z"),
                ("a'cme", "chat", "2027-01-15T07:45:00Z"),
                ("a'cme", "chat", "2027-01-15T08:00:00Z"),
                ("a'cme", "mail", "2027-01-15T08:00:00Z"),
                ("other", "chat", "2027-01-15T08:00:00Z"),
            ):
                connection.execute(ROW, (tenant, application, minute))
        yield database


@pytest.mark.parametrize("metric", ["", *sorted(METRICS)])
def test_evidence_can_be_asked_again(dsn: str, metric: str) -> None:
    found = Anomaly(
        anomaly_id="x",
        timestamp="2027-01-15T08:00:30.000Z",
        detector_id="d",
        severity="warning",
        score=1.0,
        tenant_id="a'cme",
        application_id="chat",
        model="m",
        metric=metric,
        context={"window_start": "2027-01-15T08:00:10.000Z", "window_end": "2027-01-15T08:00:30.000Z"},
    )
    columns, rows, _ = run_query(dsn, evidence_sql(found))
    assert columns[:2] == ["minute", "model"] and len(columns) > 3
    assert [str(row[0])[11:16] for row in rows] == ["07:45", "08:00"]
    assert all(value is not None for row in rows for value in row)
