"""The telemetry topic decoded by Flink SQL's own JSON format: what the fields in use cost at the least."""

from __future__ import annotations

from pyflink.table import StreamTableEnvironment

from sentinel.settings import JobSettings

FIELDS = (
    "event_id",
    "event_type",
    "tenant_id",
    "application_id",
    "data.model AS model",
    "data.prompt AS prompt",
    "data.status AS status",
    "data.latency_ms AS latency_ms",
    "data.prompt_tokens AS prompt_tokens",
    "data.completion_tokens AS completion_tokens",
    "data.total_tokens AS total_tokens",
    "data.cost AS cost",
    "metadata.user_id AS user_id",
    "record_time",
)
"""What the product's per-event path reads of an event."""


def decoded_telemetry(t_env: StreamTableEnvironment, settings: JobSettings, job: str) -> None:
    """Table `decoded_telemetry` with event time and place from the record."""
    t_env.execute_sql(f"""
        CREATE TEMPORARY TABLE decoded_telemetry (
          event_id STRING, event_type STRING, tenant_id STRING, application_id STRING,
          `data` ROW<model STRING, prompt STRING, status STRING, latency_ms DOUBLE, prompt_tokens BIGINT, completion_tokens BIGINT,
                     total_tokens BIGINT, cost DOUBLE>,
          metadata ROW<user_id STRING>,
          `record_time` TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL, `partition` INT METADATA VIRTUAL, `offset` BIGINT METADATA VIRTUAL,
          WATERMARK FOR record_time AS record_time - INTERVAL '{settings.lateness_ms / 1000}' SECOND(2,3)
        ) WITH (
          'connector' = 'kafka',
          'topic' = '{settings.telemetry_topics}',
          'properties.bootstrap.servers' = '{settings.kafka_bootstrap}',
          'properties.group.id' = '{settings.kafka_group}-{job}',
          'properties.auto.offset.reset' = 'earliest',
          'properties.max.partition.fetch.bytes' = '4194304',
          'scan.startup.mode' = 'group-offsets',
          'scan.watermark.idle-timeout' = '{settings.idle_ms} ms',
          'format' = 'json',
          'json.ignore-parse-errors' = 'true')
    """)
