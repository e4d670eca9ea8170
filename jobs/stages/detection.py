"""From panes and per-event findings to correlated anomalies."""

from __future__ import annotations

from pyflink.datastream import BroadcastStream, DataStream
from pyflink.table import StreamTableEnvironment

from jobs.stages.environment import border, keyed_rows, side_output, view_of
from operators import correlation


def event_findings(t_env: StreamTableEnvironment) -> None:
    """View `event_findings`: anomalies of per-event rules, one row (application = tenant|application, record = JSON) each."""
    table = t_env.sql_query("""
        SELECT JSON_VALUE(anomaly, '$.tenant_id') || '|' || JSON_VALUE(anomaly, '$.application_id') AS application, anomaly AS record
        FROM inspected WHERE anomaly IS NOT NULL
    """)
    view_of(t_env, "event_findings", border(t_env, table))


def correlated(t_env: StreamTableEnvironment, configuration: BroadcastStream, snapshot: bytes, route: bool) -> DataStream:
    """All findings of a tenant together, and what people ask for about its alerts (view `requests`): anomaly rows for the sinks.

    With `route` the operator also says which alerts each anomaly concerns: `routed` takes that.
    """
    findings = "SELECT record FROM event_findings UNION ALL SELECT record FROM pane_findings WHERE NOT shadow UNION ALL SELECT record FROM requests"
    findings = f"SELECT JSON_VALUE(record, '$.tenant_id') AS tenant_id, record FROM ({findings}) WHERE JSON_VALUE(record, '$.tenant_id') IS NOT NULL"
    keyed = keyed_rows(t_env, findings, correlation.INPUT_TYPE)
    rows = keyed.connect(configuration).process(correlation.Correlation(snapshot, route), output_type=correlation.OUTPUT_TYPE)
    return rows.name("correlation").uid("correlation")


def routed(correlated_rows: DataStream) -> tuple[DataStream, DataStream]:
    """Rows (shard, block) for alerts, and what inhibits."""
    return side_output(correlated_rows, correlation.ROUTED), side_output(correlated_rows, correlation.INHIBITING)
