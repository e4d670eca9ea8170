"""Decode and keyed z-score, nothing else: the function that the comparison engines run. `zscore.py hop|sql TOPIC`.

hop: the product's own stages (validating Python hop, partial panes, merged panes). sql: decoding and panes in SQL, as a job behind `llm-events` has it.
"""

from __future__ import annotations

import sys

from pyflink.common import Types
from pyflink.table import StreamTableEnvironment

from bench.jobs.single_outliers import OUTPUT_TYPE, SingleOutliers
from bench.jobs.tables import decoded_telemetry
from jobs.stages import kafka_sinks, panes, sources
from jobs.stages.environment import border, create_environment, view_of
from jobs.stages.inspection import inspected
from sentinel.events.folding import EXEMPLAR_DIGITS
from sentinel.panes import SHARDS
from sentinel.settings import JobSettings
from udfs.config_watch import read_snapshot

JOB = "zscore"


def main() -> None:
    decode, topic = sys.argv[1:]
    settings = JobSettings()
    environment, t_env = create_environment(JOB)
    statements = t_env.create_statement_set()
    if decode == "hop":
        _panes_of_the_product(t_env, settings)
    else:
        _panes_in_sql(t_env, settings)
    batches = border(
        t_env,
        t_env.sql_query("""
        SELECT shard, LISTAGG(CONCAT_WS(CHR(9), tenant_id || '|' || application_id || '|' || model, CAST(latency_count AS STRING),
               CAST(latency_log_sum AS STRING), CAST(latency_log_sumsq AS STRING), latency_exemplar), '\n') AS lines
        FROM TABLE(TUMBLE((SELECT * FROM panes WHERE latency_count > 0), DESCRIPTOR(pane_time), INTERVAL '1' SECOND))
        GROUP BY shard, window_start, window_end
    """),
    )
    keyed = batches.key_by(lambda row: row[0], key_type=Types.INT())
    view_of(t_env, "found", keyed.process(SingleOutliers(), output_type=OUTPUT_TYPE).name("z-score").uid("z-score"))
    kafka_sinks.keyed_records(t_env, settings, "outliers", topic)
    statements.add_insert_sql("INSERT INTO outliers SELECT `key`, record FROM found")
    statements.attach_as_datastream()
    environment.execute(JOB)


def _panes_of_the_product(t_env: StreamTableEnvironment, settings: JobSettings) -> None:
    sources.telemetry(t_env, settings, JOB)
    panes.panes(t_env, inspected(t_env, settings, read_snapshot(settings.kafka_bootstrap)))


def _panes_in_sql(t_env: StreamTableEnvironment, settings: JobSettings) -> None:
    decoded_telemetry(t_env, settings, JOB)
    number = "CAST(ROUND(1000 * LN(1 + `data`.latency_ms)) AS BIGINT)"
    micros = f"LPAD(CAST(CAST(ROUND(1000 * `data`.latency_ms) AS BIGINT) AS STRING), {EXEMPLAR_DIGITS}, '0')"
    t_env.execute_sql(f"""
        CREATE TEMPORARY VIEW latencies AS
        SELECT tenant_id, application_id, `data`.model AS model, {number} AS latency_log, {micros} || event_id AS exemplar, record_time
        FROM decoded_telemetry WHERE event_type = 'llm.response' AND `data`.latency_ms IS NOT NULL
    """)
    t_env.execute_sql(f"""
        CREATE TEMPORARY VIEW panes AS
        SELECT MOD(ABS(HASH_CODE(tenant_id || '|' || application_id)), {SHARDS}) AS shard, tenant_id, application_id, model,
               COUNT(*) AS latency_count, SUM(latency_log) AS latency_log_sum, SUM(latency_log * latency_log) AS latency_log_sumsq,
               MAX(exemplar) AS latency_exemplar, window_time AS pane_time
        FROM TABLE(TUMBLE(TABLE latencies, DESCRIPTOR(record_time), INTERVAL '1' SECOND))
        GROUP BY tenant_id, application_id, model, window_start, window_end, window_time
    """)


if __name__ == "__main__":
    main()
