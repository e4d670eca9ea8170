"""Decode and keyed z-score, nothing else: the function that the comparison engines run. `zscore.py hop|sql TOPIC`.

hop: the product's own stages (validating Python hop, pane blocks). sql: decoding and panes in SQL, as a job behind `llm-events` has it; an event is
known by its place in Kafka there, since panes are copied several times and a number costs less than an id.
"""

from __future__ import annotations

import sys

from pyflink.table import StreamTableEnvironment

from bench.jobs.single_outliers import INPUT_TYPE, MOST_OFFSETS, MOST_PLACES, OUTPUT_TYPE, SingleOutliers
from bench.jobs.tables import decoded_telemetry
from jobs.stages import kafka_sinks, panes, sources
from jobs.stages.environment import create_environment, keyed_rows, view_of
from jobs.stages.inspection import inspected
from sentinel.settings import JobSettings
from udfs.config_watch import read_snapshot

JOB = "zscore"
SHARDS = 32
"""The keys of a second are handed to the keyed operator in so many rows: a row each would cost more than what is done with it."""


def main() -> None:
    decode, topic = sys.argv[1:]
    settings = JobSettings()
    environment, t_env = create_environment(JOB)
    statements = t_env.create_statement_set()
    if decode == "hop":
        _panes_of_the_product(t_env, settings)
    else:
        _panes_in_sql(t_env, settings)
    keyed = keyed_rows(t_env, "SELECT shard, panes FROM shard_seconds", INPUT_TYPE)
    found = keyed.process(SingleOutliers(blocks=decode == "hop"), output_type=OUTPUT_TYPE).name("z-score").uid("z-score")
    view_of(t_env, "found", found)
    kafka_sinks.keyed_records(t_env, settings, "outliers", topic)
    statements.add_insert_sql("INSERT INTO outliers SELECT `key`, record FROM found")
    statements.attach_as_datastream()
    environment.execute(JOB)


def _panes_of_the_product(t_env: StreamTableEnvironment, settings: JobSettings) -> None:
    topics = sources.telemetry(t_env, settings, JOB)
    panes.blocks(t_env, inspected(t_env, settings, read_snapshot(settings.kafka), topics))
    t_env.execute_sql("CREATE TEMPORARY VIEW shard_seconds AS SELECT shard, blocks AS panes FROM shard_blocks WHERE NOT late")


def _panes_in_sql(t_env: StreamTableEnvironment, settings: JobSettings) -> None:
    decoded_telemetry(t_env, settings, JOB)
    # ROUND would make a decimal number of the double first, by way of a text.
    number = "CAST(FLOOR(1000 * LN(1 + `data`.latency_ms) + 0.5) AS BIGINT)"
    # `data` is not in the condition: Flink copies a row before it looks into it, and half of the events are requests, with their prompt.
    t_env.execute_sql(f"""
        CREATE TEMPORARY VIEW latencies AS
        SELECT tenant_id || '|' || application_id || '|' || `data`.model AS live_key, {number} AS latency_log,
               CAST(`partition` AS BIGINT) * {MOST_OFFSETS} + `offset` AS place, record_time
        FROM decoded_telemetry WHERE event_type = 'llm.response'
    """)
    t_env.execute_sql(f"""
        CREATE TEMPORARY VIEW key_seconds AS
        SELECT MOD(ABS(HASH_CODE(live_key)), {SHARDS}) AS shard, live_key,
               COUNT(latency_log) AS latency_count, SUM(latency_log) AS latency_log_sum, SUM(latency_log * latency_log) AS latency_log_sumsq,
               MAX(latency_log * {MOST_PLACES} + place) AS highest, window_time AS pane_time
        FROM TABLE(TUMBLE(TABLE latencies, DESCRIPTOR(record_time), INTERVAL '1' SECOND))
        GROUP BY live_key, window_start, window_end, window_time
    """)
    t_env.execute_sql("""
        CREATE TEMPORARY VIEW shard_seconds AS
        SELECT shard, LISTAGG(CONCAT_WS(CHR(9), live_key, CAST(latency_count AS STRING), CAST(latency_log_sum AS STRING),
               CAST(latency_log_sumsq AS STRING), CAST(highest AS STRING)), '\n') AS panes
        FROM TABLE(TUMBLE(TABLE key_seconds, DESCRIPTOR(pane_time), INTERVAL '1' SECOND)) WHERE highest IS NOT NULL
        GROUP BY shard, window_start, window_end
    """)


if __name__ == "__main__":
    main()
