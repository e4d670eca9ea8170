"""Raw telemetry through the one Python hop: partial pane blocks, findings of per-event rules, refusals."""

from __future__ import annotations

from pyflink.datastream import DataStream
from pyflink.table import StreamTableEnvironment

from jobs.stages.environment import border, view_of
from sentinel.settings import JobSettings
from udfs.inspect_events import RESULT_TYPE, inspect_events


def inspected(t_env: StreamTableEnvironment, settings: JobSettings, snapshot: bytes) -> DataStream:
    """Rows of `udfs.inspect_events` that carry anything, from the table `telemetry`; also registered as view `inspected`."""
    t_env.create_temporary_system_function("inspect_events", inspect_events(settings.kafka, snapshot))
    columns = ", ".join(f"r.{field.name} AS {field.name}" for field in RESULT_TYPE.fields)
    table = t_env.sql_query(f"""
        SELECT {columns}, record_time
        FROM (SELECT inspect_events(`value`, `topic`, `partition`, `offset`, CAST(record_time AS TIMESTAMP_LTZ(3))) AS r, record_time FROM telemetry)
        WHERE r.block IS NOT NULL OR r.anomalies IS NOT NULL OR r.dlq IS NOT NULL
    """)
    stream = border(t_env, table)
    view_of(t_env, "inspected", stream)
    t_env.execute_sql("CREATE TEMPORARY VIEW refusals AS SELECT dlq FROM inspected WHERE dlq IS NOT NULL")
    return stream
