"""One-minute rollups and the counters of what came in, to Postgres and `llm-rollups`. Late events correct both in a row of their own."""

from __future__ import annotations

from pyflink.table import StatementSet, StreamTableEnvironment

from jobs.stages import kafka_sinks, postgres_sinks
from operators.shard_panes import KEYS
from operators.sink_types import sql_columns
from sentinel.minute_rollups import STORED_COLUMNS
from sentinel.settings import JobSettings
from sentinel.sink_rows import Columns

ROW_COLUMNS: Columns = {**dict.fromkeys((*KEYS, "window_start", "part"), str), **dict.fromkeys(STORED_COLUMNS, int)}


def rollups(t_env: StreamTableEnvironment, settings: JobSettings, statements: StatementSet) -> None:
    """Add the inserts that read the views `minutes` and `late_minutes`."""
    postgres_sinks.upserts(t_env, settings, "rollup_rows", sql_columns(ROW_COLUMNS), (*KEYS, "window_start", "part"), "rollups_1m")
    keys, stored = ", ".join(KEYS), ", ".join(STORED_COLUMNS)
    statements.add_insert_sql(f"INSERT INTO rollup_rows SELECT {keys}, `minute`, 'on_time', {stored} FROM minutes")
    # The totals of late events live in keyed state and are upserted whole, so a replay cannot add them twice.
    totals = ", ".join(f"{'MAX' if '_max' in name else 'SUM'}({name})" for name in STORED_COLUMNS)
    statements.add_insert_sql(
        f"INSERT INTO rollup_rows SELECT {keys}, `minute`, 'late', {totals} FROM late_minutes GROUP BY {keys}, `minute`"
    )
    _metrics(t_env, settings, statements)


def counters(
    t_env: StreamTableEnvironment,
    settings: JobSettings,
    statements: StatementSet,
    panes: bool = True,
    refusals: bool = True,
    duplicates: bool = False,
) -> None:
    """Add the inserts that count events by tenant, minute and kind; the kinds are disjoint."""
    columns = "`tenant_id` STRING, `minute` STRING, `kind` STRING, `events` BIGINT"
    postgres_sinks.upserts(t_env, settings, "counter_rows", columns, ("tenant_id", "minute", "kind"), "ingest_counters")
    for kind, view in (("valid", "minutes"), ("late", "late_minutes")) if panes else ():
        statements.add_insert_sql(
            f"INSERT INTO counter_rows SELECT tenant_id, `minute`, '{kind}', SUM(events) FROM {view} GROUP BY tenant_id, `minute`"
        )
    if refusals:
        statements.add_insert_sql("""
            INSERT INTO counter_rows SELECT tenant_id, refused_minute, 'dlq', COUNT(*)
            FROM (SELECT COALESCE(NULLIF(JSON_VALUE(dlq, '$.tenant_id'), ''), 'unknown') AS tenant_id,
                         SUBSTRING(JSON_VALUE(dlq, '$.record_timestamp'), 1, 16) || ':00Z' AS refused_minute
                  FROM refusals) GROUP BY tenant_id, refused_minute
        """)
    if duplicates:
        statements.add_insert_sql("""
            INSERT INTO counter_rows SELECT tenant_id, arrived_minute, 'duplicate', COUNT(*)
            FROM (SELECT tenant_id, DATE_FORMAT(event_time, 'yyyy-MM-dd HH:mm') || ':00Z' AS arrived_minute FROM duplicates)
            GROUP BY tenant_id, arrived_minute
        """)


def _metrics(t_env: StreamTableEnvironment, settings: JobSettings, statements: StatementSet) -> None:
    """The rollups as metrics aggregations (specification, Data Schemas 5), one record a metric."""
    kafka_sinks.keyed_records(t_env, settings, "rollup_records", "llm-rollups")
    metrics = {
        ("calls", "count", "calls"): "CAST(calls AS DOUBLE)",
        ("errors", "count", "calls"): "CAST(errors AS DOUBLE)",
        ("latency_ms", "avg", "ms"): "CASE WHEN latency_count > 0 THEN latency_sum_us / 1000.0E0 / latency_count END",
        ("tokens", "sum", "tokens"): "CAST(token_sum AS DOUBLE)",
        ("cost_usd", "sum", "USD"): "cost_sum_nano / 1000000000.0E0",
    }
    rows = ", ".join(f"ROW('{name}', '{function}', '{unit}', {value})" for (name, function, unit), value in metrics.items())
    statements.add_insert_sql(f"""
        INSERT INTO rollup_records SELECT tenant_id || '|' || application_id, JSON_OBJECT(
          'metric_name' VALUE name, 'timestamp' VALUE REPLACE(REPLACE(`minute`, ' ', 'T'), '+00', 'Z'), 'window_duration' VALUE '1m',
          'aggregation' VALUE aggregation, 'value' VALUE number, 'unit' VALUE unit,
          'dimensions' VALUE JSON_OBJECT('tenant_id' VALUE tenant_id, 'application_id' VALUE application_id, 'model' VALUE model),
          'metadata' VALUE JSON_OBJECT('sample_count' VALUE events))
        FROM minutes CROSS JOIN UNNEST(ARRAY[{rows}]) AS metric(name, aggregation, unit, number) WHERE number IS NOT NULL
    """)
