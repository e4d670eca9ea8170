"""Raw telemetry through the door: valid events on, refusals aside."""

from __future__ import annotations

from pyflink.table import StatementSet, StreamTableEnvironment

from jobs.stages import kafka_sinks
from jobs.stages.environment import border, view_of
from sentinel.settings import JobSettings
from udfs.admit_events import RESULT_TYPE, admit_events

DEDUPLICATED_FOR = "10 min"


def admitted(t_env: StreamTableEnvironment, settings: JobSettings, statements: StatementSet, snapshot: bytes) -> None:
    """Valid events of table `telemetry` into `llm-events`, with their event time; view `refusals` for the others."""
    t_env.create_temporary_system_function("admit_events", admit_events(settings.kafka_bootstrap, snapshot))
    columns = ", ".join(f"r.`{field.name}` AS `{field.name}`" for field in RESULT_TYPE.fields)
    table = t_env.sql_query(f"""
        SELECT {columns}, CAST(record_time AS TIMESTAMP_LTZ(3)) AS event_time
        FROM (SELECT admit_events(`value`, `topic`, `partition`, `offset`, CAST(record_time AS TIMESTAMP_LTZ(3))) AS r, record_time FROM telemetry)
    """)
    view_of(t_env, "admitted", border(t_env, table))
    t_env.execute_sql("CREATE TEMPORARY VIEW refusals AS SELECT dlq FROM admitted WHERE dlq IS NOT NULL")
    kafka_sinks.timed_records(t_env, settings, "event_records", "llm-events", "events")
    _once(t_env)
    statements.add_insert_sql("""
        INSERT INTO event_records
        SELECT `key`, `event`, event_time FROM admitted WHERE `event` IS NOT NULL AND once_key IS NULL UNION ALL SELECT `key`, `event`, event_time FROM once
    """)


def _once(t_env: StreamTableEnvironment) -> None:
    """View `once`: of the events whose tenant wants each id once, the first in ten minutes.

    The state of the query is one flag an id. Its time to live is set while it is translated; that of the other queries stays as it was.
    """
    config = t_env.get_config()
    usual = config.get("table.exec.state.ttl", "")
    config.set("table.exec.state.ttl", DEDUPLICATED_FOR)
    first = border(
        t_env,
        t_env.sql_query("""
            SELECT `key`, `event`, event_time
            FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY once_key ORDER BY arrived ASC) AS place
                  FROM (SELECT *, PROCTIME() AS arrived FROM admitted WHERE once_key IS NOT NULL))
            WHERE place = 1
        """),
    )
    config.set("table.exec.state.ttl", usual)
    view_of(t_env, "once", first)
