"""From panes and per-event findings to correlated anomalies."""

from __future__ import annotations

from pyflink.common import Types
from pyflink.datastream import BroadcastStream, DataStream
from pyflink.table import StreamTableEnvironment

from jobs.stages.environment import border, rows_for_python, view_of
from operators import correlation, pane_detection


def event_findings(t_env: StreamTableEnvironment) -> None:
    """View `event_findings`: anomalies of per-event rules, one row (application = tenant|application, record = JSON) each."""
    table = t_env.sql_query("""
        SELECT JSON_VALUE(record, '$.tenant_id') || '|' || JSON_VALUE(record, '$.application_id') AS application, record
        FROM inspected CROSS JOIN UNNEST(anomalies) AS found(record)
    """)
    view_of(t_env, "event_findings", border(t_env, table))


def pane_findings(t_env: StreamTableEnvironment, batches: DataStream, configuration: BroadcastStream, snapshot: bytes) -> None:
    """View `pane_findings`: anomalies of the detectors on panes, rows as in `event_findings`, and whether they are of a model in shadow mode."""
    keyed = batches.key_by(lambda row: row[0], key_type=Types.INT())
    found = keyed.connect(configuration).process(pane_detection.PaneDetection(snapshot), output_type=pane_detection.OUTPUT_TYPE)
    view_of(t_env, "pane_findings", found.name("detectors on panes").uid("pane-detection"))


def correlated(t_env: StreamTableEnvironment, configuration: BroadcastStream, snapshot: bytes) -> tuple[DataStream, DataStream]:
    """All findings of an application together: (anomaly rows for the sinks, rows (alert key, JSON) for alerting)."""
    findings = rows_for_python(
        t_env,
        t_env.sql_query("""
            SELECT application, record FROM event_findings UNION ALL SELECT application, record FROM pane_findings WHERE NOT shadow
        """),
    )
    keyed = findings.key_by(lambda row: row[0], key_type=Types.STRING())
    rows = keyed.connect(configuration).process(correlation.Correlation(snapshot), output_type=correlation.OUTPUT_TYPE)
    rows = rows.name("correlation").uid("correlation")
    return rows, rows.get_side_output(correlation.ROUTED)
