"""The measure of all: read the topic and decode the fields in use, nothing else."""

from __future__ import annotations

from bench.jobs.tables import FIELDS, decoded_telemetry
from jobs.stages.environment import create_environment
from sentinel.settings import JobSettings

JOB = "bare_decode"


def main() -> None:
    settings = JobSettings()
    environment, t_env = create_environment(JOB)
    decoded_telemetry(t_env, settings, JOB)
    t_env.execute_sql("""
        CREATE TEMPORARY TABLE nowhere (
          event_id STRING, event_type STRING, tenant_id STRING, application_id STRING, model STRING, prompt STRING, status STRING,
          latency_ms DOUBLE, prompt_tokens BIGINT, completion_tokens BIGINT, total_tokens BIGINT, cost DOUBLE, user_id STRING,
          record_time TIMESTAMP_LTZ(3)
        ) WITH ('connector' = 'blackhole')
    """)
    statements = t_env.create_statement_set()
    statements.add_insert_sql(f"INSERT INTO nowhere SELECT {', '.join(FIELDS)} FROM decoded_telemetry")
    statements.attach_as_datastream()
    environment.execute(JOB)


if __name__ == "__main__":
    main()
