"""The migrations make documented tables and views, once, and hold tenants apart."""

import math
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from sentinel.panes import BITS_PER_BUCKET, BUCKETS_PER_WORD, HISTOGRAM_BUCKETS, HISTOGRAM_GROWTH, histogram_bucket
from services.storage.migrate import MigrationError, upgrade
from tests.support.postgres import PostgresServer

Query = Callable[..., list[tuple[Any, ...]]]


def packed(latencies: list[float]) -> list[int]:
    counts = [0] * HISTOGRAM_BUCKETS
    for latency in latencies:
        counts[histogram_bucket(latency)] += 1
    words = range(0, HISTOGRAM_BUCKETS, BUCKETS_PER_WORD)
    return [sum(counts[first + slot] << (BITS_PER_BUCKET * slot) for slot in range(BUCKETS_PER_WORD)) for first in words]


def insert_rollup(query: Query, part: str, latencies: list[float], tenant: str = "acme", errors: int = 0) -> None:
    words = packed(latencies)
    values = [len(latencies), 0, len(latencies), errors, len(latencies), round(sum(latencies) * 1000), round(max(latencies) * 1000)]
    values += [len(latencies), 100 * len(latencies), 100, len(latencies), 2_000_000 * len(latencies), 2_000_000, *words]
    marks = ", ".join(["%s"] * len(values))
    sql = f"INSERT INTO sentinel.rollups_1m VALUES (%s, 'chat', 'm', '2026-01-02T03:04:00Z', %s, {marks})"
    query(sql, tenant, part, *values)


def test_upgrade_is_idempotent_and_safe_when_two_start_at_once(postgres_server: PostgresServer) -> None:
    dsn = postgres_server.database("twice")
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(upgrade, [dsn, dsn])
    assert first == second == upgrade(dsn)


def test_a_database_that_is_away_is_named_without_its_password() -> None:
    with pytest.raises(MigrationError, match=r"Postgres at 127\.0\.0\.1:1/q: ") as caught:
        upgrade("host=127.0.0.1 port=1 user=x password=hush dbname=q")
    assert "hush" not in str(caught.value)


def test_a_database_of_a_newer_release_is_refused(dsn: str, query: Query) -> None:
    query("UPDATE sentinel.schema_version SET version_num = '9999'")
    with pytest.raises(MigrationError, match="9999"):
        upgrade(dsn)


def test_every_view_and_column_is_documented(query: Query) -> None:
    sql = """SELECT c.relname, a.attname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
             WHERE n.nspname = 'analytics' AND (col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid) IS NULL)"""
    assert query(sql) == []
    views = {row[0] for row in query("SELECT viewname FROM pg_views WHERE schemaname = 'analytics'")}
    assert views == {
        *("anomalies", "alerts", "notifications", "metrics_1m", "shadow_anomalies", "costs_daily", "ingest_totals", "alert_timeline"),
        *("shield_actions", "incidents", "unpaired_requests"),
        *("alert_decisions", "alert_controls"),
    }


def test_quantiles_stay_within_one_bucket_of_the_truth(query: Query) -> None:
    chance = random.Random(7)
    on_time = [chance.lognormvariate(6, 0.8) for _ in range(900)]
    late = [chance.lognormvariate(6, 0.8) for _ in range(100)]
    insert_rollup(query, "on_time", on_time, errors=90)
    insert_rollup(query, "late", late, errors=10)
    sql = """SELECT events, late_events, error_rate, latency_avg_ms, latency_max_ms, tokens, cost_usd,
                    latency_p50_ms, latency_p95_ms, latency_p99_ms FROM analytics.metrics_1m"""
    ((events, late_events, error_rate, average, greatest, tokens, cost, *quantiles),) = query(sql)
    both = sorted(on_time + late)
    assert (events, late_events, tokens) == (1000, 100, 100_000)
    assert error_rate == pytest.approx(0.1)
    assert cost == pytest.approx(2.0)
    assert average == pytest.approx(sum(both) / 1000, rel=1e-6)
    assert greatest == pytest.approx(both[-1], rel=1e-3)
    for quantile, seen in zip((0.5, 0.95, 0.99), quantiles, strict=True):
        assert abs(math.log(seen / both[round(quantile * 1000) - 1])) < math.log(HISTOGRAM_GROWTH)


@pytest.mark.parametrize(("latencies", "low", "high"), [([0.4], 0.0, 0.4), ([400_000.0] * 3, 300_000, 400_000), ([250.0], 200, 250)])
def test_quantiles_at_the_ends(query: Query, latencies: list[float], low: float, high: float) -> None:
    insert_rollup(query, "on_time", latencies)
    ((p99,),) = query("SELECT latency_p99_ms FROM analytics.metrics_1m")
    assert low <= p99 <= high


def test_the_analyst_sees_only_the_tenant_in_the_setting(dsn: str, query: Query) -> None:
    for tenant in ("acme", "globex"):
        insert_rollup(query, "on_time", [100.0], tenant)
        query("INSERT INTO sentinel.notifications (notification_id, tenant_id) VALUES (%s, %s)", f"n-{tenant}", tenant)
        query("INSERT INTO sentinel.notification_ledger (notification_id, receiver, state) VALUES (%s, 'r', 'delivered')", f"n-{tenant}")
    with psycopg.connect(dsn, autocommit=True) as analyst:
        analyst.execute("SET ROLE sentinel_analyst")

        def tenants(view: str) -> list[str]:
            return [row[0] for row in analyst.execute(f"SELECT tenant_id FROM analytics.{view} ORDER BY 1")]  # type: ignore[arg-type]

        assert tenants("metrics_1m") == []
        analyst.execute("SET sentinel.tenant = 'acme'")
        assert tenants("metrics_1m") == tenants("notifications") == tenants("costs_daily") == ["acme"]
        assert analyst.execute("SELECT notification_id FROM sentinel.notification_ledger").fetchall() == [("n-acme",)]
        assert analyst.execute("SELECT delivered FROM analytics.notifications").fetchall() == [(True,)]
        analyst.execute("SET sentinel.tenant = '*'")
        assert tenants("metrics_1m") == ["acme", "globex"]
        for forbidden in ("DELETE FROM sentinel.alerts", "SELECT config FROM sentinel.config_versions", "CREATE TABLE t (i int)"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                analyst.execute(forbidden)  # type: ignore[arg-type]


def test_the_timeline_tells_an_alert_in_order(query: Query) -> None:
    query("""INSERT INTO sentinel.alerts (alert_id, tenant_id, definition_id, status, starts_at, ends_at)
             VALUES ('a', 'acme', 'd', 'resolved', '2026-01-01T00:00Z', '2026-01-01T00:10Z')""")
    query("""INSERT INTO sentinel.notifications (notification_id, alert_id, tenant_id, receiver, created_at)
             VALUES ('n', 'a', 'acme', 'r', '2026-01-01T00:01Z')""")
    query("""INSERT INTO sentinel.notification_ledger (notification_id, receiver, state, delivered_at)
             VALUES ('n', 'r', 'delivered', '2026-01-01T00:02Z')""")
    events = [row[0] for row in query("SELECT event FROM analytics.alert_timeline WHERE alert_id = 'a' ORDER BY at")]
    assert events == ["fired", "notified", "delivered", "resolved"]
