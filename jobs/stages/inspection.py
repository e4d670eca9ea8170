"""Raw telemetry through the one Python hop: partial pane blocks, findings of per-event rules, refusals."""

from __future__ import annotations

from collections.abc import Sequence

from pyflink.datastream import DataStream
from pyflink.table import StreamTableEnvironment

from jobs.stages.environment import border, view_of
from sentinel.settings import JobSettings
from udfs.inspect_events import ANOMALY, BLOCK, DEAD_LETTER, inspect_events, place_sql


def inspected(t_env: StreamTableEnvironment, settings: JobSettings, snapshot: bytes, topics: Sequence[str]) -> DataStream:
    """Items of `udfs.inspect_events` from the table `telemetry` of these topics; also registered as view `inspected`.

    A row an item, with NULL in all columns but its own: a partial pane block (shard, start_ms, block), an anomaly or a dead letter (dlq).
    """
    t_env.create_temporary_system_function("inspect_events", inspect_events(settings.kafka, snapshot, topics))
    # As a number: a column of times takes pandas ten times as long.
    time_ms = "EXTRACT(EPOCH FROM record_time) * 1000 + EXTRACT(MILLISECOND FROM record_time)"
    texts = f"SELECT inspect_events(`value`, {place_sql(topics)}, {time_ms}) AS items, record_time FROM telemetry"
    table = t_env.sql_query(f"""
        SELECT CASE WHEN item LIKE '{BLOCK}%' THEN TRY_CAST(SUBSTRING(item, 2, 3) AS INT) END AS shard,
               CASE WHEN item LIKE '{BLOCK}%' THEN TRY_CAST(SUBSTRING(item, 5, 13) AS BIGINT) END AS start_ms,
               CASE WHEN item LIKE '{BLOCK}%' THEN SUBSTRING(item, 18) END AS `block`,
               CASE WHEN item LIKE '{ANOMALY}%' THEN SUBSTRING(item, 2) END AS anomaly,
               CASE WHEN item LIKE '{DEAD_LETTER}%' THEN SUBSTRING(item, 2) END AS dlq,
               record_time
        FROM (SELECT items, record_time FROM ({texts}) WHERE items IS NOT NULL) CROSS JOIN UNNEST(SPLIT(items, CHR(10))) AS found(item)
    """)
    stream = border(t_env, table)
    view_of(t_env, "inspected", stream)
    t_env.execute_sql("CREATE TEMPORARY VIEW refusals AS SELECT dlq FROM inspected WHERE dlq IS NOT NULL")
    return stream
