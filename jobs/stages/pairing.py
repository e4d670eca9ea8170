"""Requests and their answers, where a tenant wants them paired; and the requests that got none."""

from __future__ import annotations

from pyflink.datastream import BroadcastStream, DataStream
from pyflink.table import StatementSet, StreamTableEnvironment

from jobs.stages import postgres_sinks
from jobs.stages.environment import keyed_rows, view_of
from operators import pairing
from sentinel.settings import JobSettings


def paired(t_env: StreamTableEnvironment, admitted: DataStream, configuration: BroadcastStream, snapshot: bytes) -> None:
    """Of `admitted`, which is also a view: views `ready` (key, event, event_time, once_key), `refusals` (dlq) and `unpaired`.

    Requests go on as they came; only their copies, and the answers, cross to the operator.
    """
    # Watermarks, by which a request has waited long enough, only go on behind a view that has a time column.
    view_of(t_env, "timed_halves", admitted, "asked_or_answered", "event_time")
    keyed = keyed_rows(t_env, "SELECT part, halves FROM timed_halves WHERE halves IS NOT NULL", pairing.INPUT_TYPE)
    rows = keyed.connect(configuration).process(pairing.PairRequests(snapshot), output_type=pairing.OUTPUT_TYPE)
    view_of(t_env, "pairs", rows.name("pair requests").uid("pair-requests"))
    t_env.execute_sql("""
        CREATE TEMPORARY VIEW ready AS SELECT `key`, `event`, event_time, once_key FROM admitted WHERE `event` IS NOT NULL
        UNION ALL SELECT `key`, `event`, TO_TIMESTAMP_LTZ(event_ms, 3), once_key FROM pairs WHERE `event` IS NOT NULL
    """)
    t_env.execute_sql("""
        CREATE TEMPORARY VIEW refusals AS SELECT dlq FROM admitted WHERE dlq IS NOT NULL UNION ALL SELECT dlq FROM pairs WHERE dlq IS NOT NULL
    """)


def counted(t_env: StreamTableEnvironment, settings: JobSettings, statements: StatementSet) -> None:
    """Requests without an answer by tenant, application, minute of the request and outcome, into Postgres."""
    columns = "`tenant_id` STRING, `application_id` STRING, `minute` STRING, `outcome` STRING, `requests` BIGINT"
    keys = ("tenant_id", "application_id", "minute", "outcome")
    postgres_sinks.upserts(t_env, settings, "unpaired_rows", columns, keys, "unpaired_requests")
    statements.add_insert_sql("""
        INSERT INTO unpaired_rows SELECT tenant_id, application_id, asked_minute, outcome, COUNT(*)
        FROM (SELECT tenant_id, application_id, outcome, DATE_FORMAT(TO_TIMESTAMP_LTZ(event_ms, 3), 'yyyy-MM-dd HH:mm') || ':00Z' AS asked_minute
              FROM pairs WHERE outcome IS NOT NULL)
        GROUP BY tenant_id, application_id, asked_minute, outcome
    """)
