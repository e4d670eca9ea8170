"""Anomalies, alerts, notifications and refusals into their topics and tables."""

from __future__ import annotations

from pyflink.datastream import DataStream
from pyflink.table import StatementSet, StreamTableEnvironment

from jobs.stages import kafka_sinks, postgres_sinks
from jobs.stages.environment import view_of
from operators.sink_types import sql_columns
from sentinel.settings import JobSettings
from sentinel.sink_rows import (
    ALERT_COLUMNS,
    ANOMALY_COLUMNS,
    CONTROL_COLUMNS,
    DECISION_COLUMNS,
    NOTIFICATION_COLUMNS,
    SHADOW_COLUMNS,
    Columns,
)


def refusals(t_env: StreamTableEnvironment, settings: JobSettings, statements: StatementSet) -> None:
    """Dead letters of the view `inspected` (or `admitted`), also as view `refusals`."""
    kafka_sinks.keyed_records(t_env, settings, "dlq_records", "llm-telemetry-dlq")
    statements.add_insert_sql("INSERT INTO dlq_records SELECT JSON_VALUE(dlq, '$.dlq_id'), dlq FROM refusals")


def first_findings(statements: StatementSet) -> None:
    """Findings of per-event rules into `llm-anomalies` at once; what correlation adds follows as an update of the same id."""
    statements.add_insert_sql("INSERT INTO anomaly_records SELECT application, record FROM event_findings")


def anomalies(t_env: StreamTableEnvironment, settings: JobSettings, rows: DataStream, statements: StatementSet, hop: bool) -> None:
    """Correlated anomalies into Postgres and `llm-anomalies`; `hop` when another job reads the topic."""
    kafka_sinks.keyed_records(t_env, settings, "anomaly_records", "llm-anomalies", "anomalies" if hop else None)
    view_of(t_env, "anomalies", rows)
    statements.add_insert_sql("INSERT INTO anomaly_records SELECT tenant_id || '|' || application_id, record FROM anomalies")
    _into_postgres(t_env, settings, statements, "anomalies", ANOMALY_COLUMNS, "anomaly_id")
    # Once an anomaly: in JSON without spaces these texts can only be its own keys, since quotes inside a value are escaped.
    shield = """SELECT tenant_id, record FROM anomalies WHERE record LIKE '%"actions_taken":[{%' AND record LIKE '%"update":false%'"""
    _to_shield(t_env, settings, statements, "shield_orders", shield)


def shadow_findings(t_env: StreamTableEnvironment, settings: JobSettings, statements: StatementSet) -> None:
    """What models in shadow mode found on panes, into a table of its own and nowhere else."""
    postgres_sinks.upserts(t_env, settings, "shadow_rows", sql_columns(SHADOW_COLUMNS), ("anomaly_id",), "shadow_anomalies")
    paths = {name: f"$.{name}" for name in SHADOW_COLUMNS} | {"detected_at": "$.timestamp", "model_version": "$.labels.model_version"}
    values = ", ".join(
        f"JSON_VALUE(record, '{path}'{' RETURNING DOUBLE' if SHADOW_COLUMNS[name] is float else ''})"
        for name, path in paths.items()
        if name != "record"
    )
    statements.add_insert_sql(f"INSERT INTO shadow_rows SELECT {values}, record FROM pane_findings WHERE shadow")


def alerts(t_env: StreamTableEnvironment, settings: JobSettings, streams: dict[str, DataStream], statements: StatementSet) -> None:
    """Alerts into Postgres and `llm-alerts`, notifications into Postgres and the topics of their receivers, decisions and requests into Postgres."""
    kafka_sinks.keyed_records(t_env, settings, "alert_records", "llm-alerts")
    kafka_sinks.receiver_records(t_env, settings, "notification_records")
    for name, stream in streams.items():
        view_of(t_env, name, stream)
    statements.add_insert_sql("INSERT INTO alert_records SELECT alert_id, record FROM alerts")
    statements.add_insert_sql("INSERT INTO notification_records SELECT record, 'notify-' || receiver FROM notifications")
    _into_postgres(
        t_env, settings, statements, "alerts", {name: kind for name, kind in ALERT_COLUMNS.items() if name != "record"}, "alert_id"
    )
    _into_postgres(t_env, settings, statements, "notifications", NOTIFICATION_COLUMNS, "notification_id")
    _into_postgres(t_env, settings, statements, "alert_decisions", DECISION_COLUMNS, "decision_id")
    _into_postgres(t_env, settings, statements, "alert_controls", CONTROL_COLUMNS, "control_id")
    # What an alert asks for, and its end, which revokes what was asked for by it or its anomalies.
    shield = """SELECT tenant_id, record FROM alerts WHERE status = 'resolved' OR record LIKE '%"shield":[{%'"""
    _to_shield(t_env, settings, statements, "shield_releases", shield)


def _to_shield(t_env: StreamTableEnvironment, settings: JobSettings, statements: StatementSet, table: str, query: str) -> None:
    """Into `sentinel-shield-actions`, keyed by tenant: what belongs together stays in order."""
    kafka_sinks.keyed_records(t_env, settings, table, "sentinel-shield-actions")
    statements.add_insert_sql(f"INSERT INTO {table} {query}")


def _into_postgres(
    t_env: StreamTableEnvironment, settings: JobSettings, statements: StatementSet, view: str, columns: Columns, key: str
) -> None:
    postgres_sinks.upserts(t_env, settings, f"{view}_rows", sql_columns(columns), (key,), view)
    statements.add_insert_sql(f"INSERT INTO {view}_rows SELECT {', '.join(f'`{name}`' for name in columns)} FROM {view}")
