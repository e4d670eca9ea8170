"""Merge the partial panes: one-second panes by tenant, application and model, ten-second user panes, and what came too late split off before them."""

from __future__ import annotations

from pyflink.datastream import DataStream
from pyflink.table import StreamTableEnvironment

from jobs.stages.environment import border, rows_for_python, view_of
from sentinel.events.folding import EXEMPLARS, PANE_SUMS
from sentinel.panes import HISTOGRAM_WORDS

KEYS = ("tenant_id", "application_id", "model")
SUMS = (*PANE_SUMS, *(f"latency_hist_{word}" for word in range(HISTOGRAM_WORDS)))


def panes(t_env: StreamTableEnvironment, inspected: DataStream) -> DataStream:
    """Closed one-second panes as a stream and as view `panes` (event time `pane_time`, the pane's start); late partial ones as view `late_panes`."""
    view_of(t_env, "pane_rows", inspected, "pane_time", "TO_TIMESTAMP_LTZ(pane_sums[2], 3)")
    fields = [f"pane_keys[{place}] AS {name}" for place, name in enumerate((*KEYS, *EXEMPLARS), start=1)]
    fields += [f"pane_sums[{place}] AS {name}" for place, name in enumerate(SUMS, start=3)]
    t_env.execute_sql(f"""
        CREATE TEMPORARY VIEW partial_panes AS
        SELECT CAST(pane_sums[1] AS INT) AS shard, {", ".join(fields)}, pane_time FROM pane_rows WHERE pane_sums IS NOT NULL
    """)
    on_time = "CURRENT_WATERMARK(pane_time) IS NULL OR TIMESTAMPADD(SECOND, 1, pane_time) > CURRENT_WATERMARK(pane_time)"
    t_env.execute_sql(f"CREATE TEMPORARY VIEW on_time_panes AS SELECT * FROM partial_panes WHERE {on_time}")
    t_env.execute_sql(f"CREATE TEMPORARY VIEW late_panes AS SELECT * FROM partial_panes WHERE NOT ({on_time})")
    merged = t_env.sql_query(f"""
        SELECT shard, {", ".join(KEYS)}, {_aggregates("MAX", EXEMPLARS)}, {_aggregates("SUM", SUMS)}, window_start AS second_start
        FROM TABLE(TUMBLE(TABLE on_time_panes, DESCRIPTOR(pane_time), INTERVAL '1' SECOND))
        GROUP BY shard, {", ".join(KEYS)}, window_start, window_end
    """)
    stream = border(t_env, merged)
    view_of(t_env, "panes", stream, "pane_time", "second_start")
    return stream


def pane_batches(t_env: StreamTableEnvironment, inspected: DataStream) -> DataStream:
    """For each shard and second one row (shard, end in epoch ms, lines): its panes and user panes as text, see `operators.pane_lines`."""
    view_of(t_env, "user_rows", inspected, "pane_time", "TO_TIMESTAMP_LTZ(user_start_ms, 3)")
    pane_fields = ", ".join((*KEYS, *EXEMPLARS, *(f"CAST({name} AS STRING)" for name in SUMS)))
    t_env.execute_sql(f"""
        CREATE TEMPORARY VIEW pane_lines AS
        SELECT shard, CONCAT_WS(CHR(9), 'pane', CAST({_epoch_ms("pane_time")} AS STRING), {pane_fields}) AS line, pane_time AS line_time FROM panes
    """)
    t_env.execute_sql("""
        CREATE TEMPORARY VIEW user_counts AS
        SELECT user_key, SUM(user_events) AS events, window_time AS counted_at
        FROM TABLE(TUMBLE((SELECT user_key, user_events, pane_time FROM user_rows WHERE user_key IS NOT NULL),
                          DESCRIPTOR(pane_time), INTERVAL '10' SECOND))
        GROUP BY user_key, window_start, window_end, window_time
    """)
    t_env.execute_sql(f"""
        CREATE TEMPORARY VIEW user_lines AS
        SELECT shard,
               CONCAT_WS(CHR(9), 'users', CAST({_epoch_ms("window_start")} AS STRING), tenant_id, application_id,
                         MAX(LPAD(CAST(events AS STRING), 16, '0') || user_id), CAST(COUNT(*) AS STRING), CAST(SUM(events) AS STRING)) AS line,
               window_time AS line_time
        FROM TABLE(TUMBLE((
          SELECT CAST(SPLIT_INDEX(user_key, CHR(9), 0) AS INT) AS shard, SPLIT_INDEX(user_key, CHR(9), 1) AS tenant_id,
                 SPLIT_INDEX(user_key, CHR(9), 2) AS application_id, SPLIT_INDEX(user_key, CHR(9), 3) AS user_id, events, counted_at
          FROM user_counts), DESCRIPTOR(counted_at), INTERVAL '10' SECOND))
        GROUP BY shard, tenant_id, application_id, window_start, window_end, window_time
    """)
    view_of(t_env, "fact_rows", inspected, "fact_time", "TO_TIMESTAMP_LTZ(CAST(facts[2] AS BIGINT), 3)")
    t_env.execute_sql("""
        CREATE TEMPORARY VIEW fact_lines AS
        SELECT CAST(facts[1] AS INT) AS shard, facts[3] AS line, fact_time AS line_time FROM fact_rows WHERE facts IS NOT NULL
    """)
    # A view, because Flink 2.3.0 drops the second input of a UNION ALL that is written inside TUMBLE(...) itself.
    t_env.execute_sql(
        "CREATE TEMPORARY VIEW all_lines AS SELECT * FROM pane_lines UNION ALL SELECT * FROM user_lines UNION ALL SELECT * FROM fact_lines"
    )
    batches = t_env.sql_query(f"""
        SELECT shard, {_epoch_ms("window_end")} AS end_ms, LISTAGG(line, '\n') AS lines
        FROM TABLE(TUMBLE(TABLE all_lines, DESCRIPTOR(line_time), INTERVAL '1' SECOND))
        GROUP BY shard, window_start, window_end
    """)
    return rows_for_python(t_env, batches)


def _aggregates(function: str, names: tuple[str, ...]) -> str:
    return ", ".join(f"{function}({name}) AS {name}" for name in names)


def _epoch_ms(column: str) -> str:
    return f"TIMESTAMPDIFF(SECOND, TIMESTAMP '1970-01-01 00:00:00', CAST({column} AS TIMESTAMP(3))) * CAST(1000 AS BIGINT)"
