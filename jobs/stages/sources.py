"""Kafka in: telemetry, and the configuration stream."""

from __future__ import annotations

from pyflink.table import StreamTableEnvironment

from sentinel.settings import JobSettings

REFUSED_AHEAD_MIN = 5
"""As `sentinel.events.decode.NEWEST`: records further ahead are refused."""
TRUSTED_BEHIND_MIN = 2
"""How far the job may be behind without a refused record of the future making others late."""


def telemetry(
    t_env: StreamTableEnvironment, settings: JobSettings, job: str, topics: str | None = None, committed_only: bool = False
) -> tuple[str, ...]:
    """Table `telemetry`: raw records with their place in Kafka, and the names of the topics. Event time is the record's timestamp.

    A clock ahead of ours moves no watermark beyond now. A record so far ahead that it is refused says only that about now it was written: were it
    taken for now, one such record would make all others late whenever the job is some seconds behind; were it passed over, a partition that
    holds nothing else would stop event time for everybody.
    """
    names = topic_names(topics or settings.telemetry_topics)
    t_env.execute_sql(f"""
        CREATE TEMPORARY TABLE telemetry (
          `value` BYTES,
          `topic` STRING METADATA VIRTUAL,
          `partition` INT METADATA VIRTUAL,
          `offset` BIGINT METADATA VIRTUAL,
          `record_time` TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL,
          WATERMARK FOR record_time AS
            CASE WHEN record_time < CURRENT_TIMESTAMP THEN record_time
                 WHEN record_time > TIMESTAMPADD(MINUTE, {REFUSED_AHEAD_MIN}, CURRENT_TIMESTAMP)
                 THEN CAST(TIMESTAMPADD(MINUTE, -{TRUSTED_BEHIND_MIN}, CURRENT_TIMESTAMP) AS TIMESTAMP_LTZ(3))
                 ELSE CAST(CURRENT_TIMESTAMP AS TIMESTAMP_LTZ(3)) END
            - INTERVAL '{settings.lateness_ms / 1000}' SECOND(2,3)
        ) WITH ({_kafka(settings, ";".join(names), job, committed_only)},
          'format' = 'raw',
          'scan.watermark.idle-timeout' = '{settings.idle_ms} ms')
    """)
    return names


def topic_names(topics: str) -> tuple[str, ...]:
    """The topics of a list separated by ';', as Kafka names them: a name with a blank would match no record."""
    return tuple(dict.fromkeys(name.strip() for name in topics.split(";") if name.strip()))


def configuration(t_env: StreamTableEnvironment, settings: JobSettings, job: str) -> None:
    """Table `configuration`: published versions.

    Its event time is that of 1970 and it is idle after 200 ms, so that a new version holds event time back no longer than that. A time of the far
    future would hold back nothing, but when telemetry is idle as well Flink takes the highest time of the idle inputs: that of the far future,
    and every timer of the detectors would fire from then on.
    """
    t_env.execute_sql(f"""
        CREATE TEMPORARY TABLE configuration (
          `record` STRING,
          `long_past` AS TO_TIMESTAMP_LTZ(0, 3),
          WATERMARK FOR long_past AS long_past
        ) WITH ({_kafka(settings, "sentinel-config", job)},
          'format' = 'raw',
          'scan.parallelism' = '1',
          'scan.watermark.idle-timeout' = '200 ms')
    """)


def controls(t_env: StreamTableEnvironment, settings: JobSettings, job: str) -> None:
    """Table `controls`: what people ask for (acknowledge, silence, …). It has no event time: alerting waits on processing time."""
    t_env.execute_sql(f"""
        CREATE TEMPORARY TABLE controls (`record` STRING) WITH ({_kafka(settings, "sentinel-control", job)},
          'format' = 'raw', 'scan.parallelism' = '1')
    """)


def records(t_env: StreamTableEnvironment, settings: JobSettings, job: str, table: str, topic: str) -> None:
    """A table of JSON records of a topic between jobs, one text column `record`, and the record's key; only committed ones."""
    t_env.execute_sql(f"""
        CREATE TEMPORARY TABLE {table} (
          `record_key` STRING,
          `record` STRING,
          `record_time` TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL
        ) WITH ({_kafka(settings, topic, job, committed_only=True)},
          'key.format' = 'raw', 'key.fields' = 'record_key', 'value.format' = 'raw', 'value.fields-include' = 'EXCEPT_KEY')
    """)


def _kafka(settings: JobSettings, topics: str, job: str, committed_only: bool = False) -> str:
    isolation = "read_committed" if committed_only else "read_uncommitted"
    return f"""
          'connector' = 'kafka',
          'topic' = '{topics}',
          {settings.kafka.flink_options()},
          'properties.group.id' = '{settings.kafka_group}-{job}',
          'properties.isolation.level' = '{isolation}',
          'properties.auto.offset.reset' = 'earliest',
          'properties.max.partition.fetch.bytes' = '4194304',
          'scan.startup.mode' = 'group-offsets',
          'scan.topic-partition-discovery.interval' = '60 s'"""
