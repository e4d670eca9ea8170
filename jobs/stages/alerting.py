"""From routed anomalies to alerts and notifications."""

from __future__ import annotations

from pyflink.common import Types
from pyflink.datastream import BroadcastStream, DataStream

from operators import alerting


def alerts(routed: DataStream, configuration: BroadcastStream, snapshot: bytes) -> tuple[DataStream, DataStream]:
    """(alert rows, notification rows) of rows (alert key, anomaly JSON)."""
    keyed = routed.key_by(lambda row: row[0], key_type=Types.STRING())
    rows = keyed.connect(configuration).process(alerting.Alerting(snapshot), output_type=alerting.OUTPUT_TYPE)
    rows = rows.name("alert life cycle").uid("alerting")
    return rows, rows.get_side_output(alerting.NOTIFICATIONS)
