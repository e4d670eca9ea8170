"""From anomalies to alerts and notifications."""

from __future__ import annotations

from pyflink.common import Types
from pyflink.datastream import BroadcastStream, DataStream
from pyflink.table import StreamTableEnvironment

from jobs.stages.environment import keyed_rows
from operators import alerting, routing


def routed(t_env: StreamTableEnvironment, configuration: BroadcastStream, snapshot: bytes) -> DataStream:
    """Rows (alert key, JSON) of table `anomaly_records`: one for each alert definition that an anomaly matches."""
    anomalies = "SELECT JSON_VALUE(record, '$.tenant_id') || '|' || JSON_VALUE(record, '$.application_id') AS application, record FROM anomaly_records"
    keyed = keyed_rows(t_env, anomalies, routing.INPUT_TYPE)
    return keyed.connect(configuration).process(routing.Routing(snapshot), output_type=routing.OUTPUT_TYPE).name("routing").uid("routing")


def alerts(routed_anomalies: DataStream, configuration: BroadcastStream, snapshot: bytes) -> tuple[DataStream, DataStream]:
    """(alert rows, notification rows) of rows (alert key, anomaly JSON)."""
    keyed = routed_anomalies.key_by(lambda row: row[0], key_type=Types.STRING())
    rows = keyed.connect(configuration).process(alerting.Alerting(snapshot), output_type=alerting.OUTPUT_TYPE)
    rows = rows.name("alert life cycle").uid("alerting")
    return rows, rows.get_side_output(alerting.NOTIFICATIONS)
