"""One-minute rollups and the counters of what came in, to Postgres and `llm-rollups`. Late events correct both in a row of their own."""

from __future__ import annotations

from pyflink.table import StatementSet, StreamTableEnvironment

from jobs.stages import kafka_sinks, postgres_sinks
from jobs.stages.environment import border, view_of
from jobs.stages.panes import KEYS, SUMS
from sentinel.settings import JobSettings

MAXIMA = {"latency_max_us": "latency_exemplar", "token_max": "token_exemplar", "cost_max_nano": "cost_exemplar"}
_STORED = [name for name in SUMS if "_log_" not in name]
_MINUTE = "DATE_FORMAT({column}, 'yyyy-MM-dd HH:mm:00+00')"


def rollups(t_env: StreamTableEnvironment, settings: JobSettings, statements: StatementSet) -> None:
    """Add the inserts that read the views `panes` and `late_panes`."""
    texts = ", ".join(f"`{name}` STRING" for name in (*KEYS, "window_start", "part"))
    numbers = ", ".join(f"`{name}` BIGINT" for name in (*_STORED, *MAXIMA))
    postgres_sinks.upserts(t_env, settings, "rollup_rows", f"{texts}, {numbers}", (*KEYS, "window_start", "part"), "rollups_1m")
    keys = ", ".join(KEYS)
    values = ", ".join(
        [f"SUM({name}) AS {name}" for name in _STORED] + [f"{_number(f'MAX({text})')} AS {name}" for name, text in MAXIMA.items()]
    )
    minutes = t_env.sql_query(f"""
        SELECT {keys}, {_MINUTE.format(column="window_start")} AS `minute`, {values}
        FROM TABLE(TUMBLE(TABLE panes, DESCRIPTOR(pane_time), INTERVAL '1' MINUTE)) GROUP BY {keys}, window_start, window_end
    """)
    view_of(t_env, "minutes", border(t_env, minutes))
    stored = ", ".join((*_STORED, *MAXIMA))
    statements.add_insert_sql(f"INSERT INTO rollup_rows SELECT {keys}, `minute`, 'on_time', {stored} FROM minutes")
    # No window here: its rows are late by definition. The totals live in keyed state and are upserted whole, so a replay cannot add them twice.
    statements.add_insert_sql(f"""
        INSERT INTO rollup_rows SELECT {keys}, late_minute, 'late', {stored}
        FROM (SELECT {keys}, late_minute, {values}
              FROM (SELECT *, {_MINUTE.format(column="pane_time")} AS late_minute FROM late_panes) GROUP BY {keys}, late_minute)
    """)
    _metrics(t_env, settings, statements)


def counters(
    t_env: StreamTableEnvironment, settings: JobSettings, statements: StatementSet, panes: bool = True, refusals: bool = True
) -> None:
    """Add the inserts that count events by tenant, minute and kind; the kinds are disjoint."""
    columns = "`tenant_id` STRING, `minute` STRING, `kind` STRING, `events` BIGINT"
    postgres_sinks.upserts(t_env, settings, "counter_rows", columns, ("tenant_id", "minute", "kind"), "ingest_counters")
    if panes:
        statements.add_insert_sql("INSERT INTO counter_rows SELECT tenant_id, `minute`, 'valid', SUM(events) FROM minutes GROUP BY tenant_id, `minute`")
        statements.add_insert_sql(f"""
            INSERT INTO counter_rows SELECT tenant_id, late_minute, 'late', SUM(events)
            FROM (SELECT tenant_id, {_MINUTE.format(column="pane_time")} AS late_minute, events FROM late_panes) GROUP BY tenant_id, late_minute
        """)
    if refusals:
        statements.add_insert_sql("""
            INSERT INTO counter_rows SELECT tenant_id, refused_minute, 'dlq', COUNT(*)
            FROM (SELECT COALESCE(NULLIF(JSON_VALUE(dlq, '$.tenant_id'), ''), 'unknown') AS tenant_id,
                         SUBSTRING(JSON_VALUE(dlq, '$.record_timestamp'), 1, 16) || ':00Z' AS refused_minute
                  FROM refusals) GROUP BY tenant_id, refused_minute
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


def _number(exemplar: str) -> str:
    return f"CAST(COALESCE(NULLIF(SUBSTRING({exemplar}, 1, 16), ''), '0') AS BIGINT)"
