"""Raw telemetry through the door: valid events on, refusals aside."""

from __future__ import annotations

from pyflink.datastream import DataStream
from pyflink.table import StatementSet, StreamTableEnvironment

from jobs.stages import kafka_sinks
from jobs.stages.environment import border, planned_with, view_of
from sentinel.config.runtime import RuntimeConfig
from sentinel.settings import JobSettings
from udfs.admit_events import RESULT_TYPE, admit_events

DEDUPLICATED_FOR = "10 min"


def state_backend(settings: JobSettings, snapshot: bytes) -> dict[str, str]:
    """RocksDB when a tenant wants each id once as the job starts: on the heap, a million ids leave no room for work. Else the heap, which is faster.

    A job that goes on from a checkpoint keeps the backend that wrote it: neither reads what the other wrote.
    """
    wanted = "rocksdb" if RuntimeConfig.from_record(snapshot).deduplicated_tenants else "hashmap"
    return {"state.backend.type": settings.restored_backend or wanted}


def admitted(t_env: StreamTableEnvironment, settings: JobSettings, snapshot: bytes) -> DataStream:
    """Rows of `udfs.admit_events` and the event time, from the table `telemetry`; also registered as view `admitted`."""
    t_env.create_temporary_system_function("admit_events", admit_events(settings.kafka, snapshot))
    columns = ", ".join(f"r.`{field.name}` AS `{field.name}`" for field in RESULT_TYPE.fields)
    table = t_env.sql_query(f"""
        SELECT {columns}, CAST(record_time AS TIMESTAMP_LTZ(3)) AS event_time
        FROM (SELECT admit_events(`value`, `topic`, `partition`, `offset`, CAST(record_time AS TIMESTAMP_LTZ(3))) AS r, record_time FROM telemetry)
    """)
    stream = border(t_env, table)
    view_of(t_env, "admitted", stream)
    return stream


def passed_on(t_env: StreamTableEnvironment, settings: JobSettings, statements: StatementSet) -> None:
    """View `ready` into `llm-events`, with its event time; what is dropped on the way is view `duplicates`."""
    kafka_sinks.timed_records(t_env, settings, "event_records", "llm-events", "events")
    _once(t_env)
    statements.add_insert_sql("""
        INSERT INTO event_records
        SELECT `key`, `event`, event_time FROM ready WHERE once_key IS NULL UNION ALL SELECT `key`, `event`, event_time FROM once
    """)


def _once(t_env: StreamTableEnvironment) -> None:
    """Of the events whose tenant wants each id once: view `once` for the first of its id, view `duplicates` (tenant_id, event_time) for the others.

    The state of the query is one number for the digest of an id. It lives for ten minutes after the last event of that id. Counting instead of the
    planner's own deduplication keeps what is dropped in sight.
    """
    query = """
        SELECT `key`, `event`, event_time, once_key, COUNT(*) OVER (PARTITION BY once_key ORDER BY arrived) AS place
        FROM (SELECT *, PROCTIME() AS arrived FROM ready WHERE once_key IS NOT NULL)
    """
    with planned_with(t_env, "table.exec.state.ttl", DEDUPLICATED_FOR, usual=""):
        counted = border(t_env, t_env.sql_query(query))
    view_of(t_env, "counted", counted)
    t_env.execute_sql("CREATE TEMPORARY VIEW once AS SELECT `key`, `event`, event_time FROM counted WHERE place = 1")
    t_env.execute_sql("""
        CREATE TEMPORARY VIEW duplicates AS SELECT SPLIT_INDEX(`key`, '|', 0) AS tenant_id, event_time FROM counted WHERE place > 1
    """)
