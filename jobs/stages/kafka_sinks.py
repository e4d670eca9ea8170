"""Kafka out: topics between jobs, dead letters, and one topic for each receiver."""

from __future__ import annotations

from pyflink.table import StreamTableEnvironment

from sentinel.settings import JobSettings

MAX_REQUEST_BYTES = 12_582_912
"""A dead letter holds the original bytes in base64."""

_TRANSACTION_TIMEOUT_MS = 600_000


def keyed_records(t_env: StreamTableEnvironment, settings: JobSettings, table: str, topic: str, exactly_once_as: str | None = None) -> None:
    """Table (`key` STRING, `record` STRING) into a topic. `exactly_once_as` names the writer when the topic is a hop between jobs."""
    t_env.execute_sql(f"""
        CREATE TEMPORARY TABLE {table} (`key` STRING, `record` STRING) WITH (
          'topic' = '{topic}', 'key.format' = 'raw', 'key.fields' = 'key', 'value.format' = 'raw', 'value.fields-include' = 'EXCEPT_KEY',
          {_producer(settings, exactly_once_as)})
    """)


def timed_records(t_env: StreamTableEnvironment, settings: JobSettings, table: str, topic: str, exactly_once_as: str) -> None:
    """Table (`key` STRING, `record` STRING, `event_time`) into a topic between jobs; the event time goes on as the record's timestamp."""
    t_env.execute_sql(f"""
        CREATE TEMPORARY TABLE {table} (`key` STRING, `record` STRING, `event_time` TIMESTAMP_LTZ(3) METADATA FROM 'timestamp') WITH (
          'topic' = '{topic}', 'key.format' = 'raw', 'key.fields' = 'key', 'value.format' = 'raw', 'value.fields-include' = 'EXCEPT_KEY',
          {_producer(settings, exactly_once_as)})
    """)


def receiver_records(t_env: StreamTableEnvironment, settings: JobSettings, table: str) -> None:
    """Table (`topic` STRING, `record` STRING): each record into the topic that it names, of the pattern `notify-*`."""
    t_env.execute_sql(f"""
        CREATE TEMPORARY TABLE {table} (`record` STRING, `topic` STRING METADATA) WITH (
          'topic-pattern' = 'notify-.*', 'format' = 'raw', {_producer(settings, None)})
    """)


def _producer(settings: JobSettings, exactly_once_as: str | None) -> str:
    delivery = settings.hop_delivery if exactly_once_as else "at-least-once"
    transactions = f", 'sink.transactional-id-prefix' = '{settings.kafka_group}-{exactly_once_as}'" if delivery == "exactly-once" else ""
    return f"""
          'connector' = 'kafka',
          {settings.kafka.flink_options()},
          'properties.max.request.size' = '{MAX_REQUEST_BYTES}',
          'properties.compression.type' = 'lz4',
          'properties.linger.ms' = '0',
          'properties.transaction.timeout.ms' = '{_TRANSACTION_TIMEOUT_MS}',
          'sink.delivery-guarantee' = '{delivery}'{transactions}"""
