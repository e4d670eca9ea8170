"""From anomalies to alerts and notifications."""

from __future__ import annotations

from pyflink.datastream import BroadcastStream, DataStream
from pyflink.table import StreamTableEnvironment

from jobs.stages import sources
from jobs.stages.environment import border, keyed_rows, rows_for_python, view_of
from operators import alerting, routing
from operators.broadcast_configuration import CONFIGURATION
from operators.muted import SILENCES, SOURCES
from sentinel.settings import JobSettings


def routed(t_env: StreamTableEnvironment, configuration: BroadcastStream, snapshot: bytes) -> tuple[DataStream, DataStream]:
    """Of table `anomaly_records`: rows (alert key, JSON), one for each alert definition that an anomaly matches; and what inhibits."""
    anomalies = "SELECT JSON_VALUE(record, '$.tenant_id') || '|' || JSON_VALUE(record, '$.application_id') AS application, record FROM anomaly_records"
    keyed = keyed_rows(t_env, anomalies, routing.INPUT_TYPE)
    rows = keyed.connect(configuration).process(routing.Routing(snapshot), output_type=routing.OUTPUT_TYPE).name("routing").uid("routing")
    return rows, rows.get_side_output(routing.INHIBITING)


def requests(t_env: StreamTableEnvironment, settings: JobSettings, job: str) -> None:
    """View `requests` (alert_key, record): what people ask for on the topic `sentinel-control`; read once, however many parts of a job want it."""
    sources.controls(t_env, settings, job)
    rows = "SELECT JSON_VALUE(record, '$.group_key') AS alert_key, record FROM controls"
    view_of(t_env, "requests", border(t_env, t_env.sql_query(rows)))


def alerts(
    t_env: StreamTableEnvironment,
    routed_anomalies: DataStream,
    inhibiting: DataStream,
    snapshot: bytes,
) -> dict[str, DataStream]:
    """Streams of rows by the name of their table, of rows (alert key, anomaly JSON) and the view `requests`."""
    view_of(t_env, "routed", routed_anomalies)
    view_of(t_env, "inhibiting", inhibiting)
    # A request about one alert goes where the alert lives; silences, like the configuration, go everywhere.
    of_key = "SELECT f0 AS alert_key, f1 AS record FROM routed UNION ALL SELECT alert_key, record FROM requests WHERE alert_key <> ''"
    # 256 shards. They are part of the state.
    of_shard = f"SELECT SUBSTRING(MD5(alert_key), 1, 2) AS shard, alert_key, record FROM ({of_key})"
    for_all = """
        SELECT record FROM configuration UNION ALL SELECT record FROM inhibiting
        UNION ALL SELECT record FROM requests WHERE alert_key IS NULL OR alert_key = ''
    """
    keyed = keyed_rows(t_env, of_shard, alerting.INPUT_TYPE)
    everywhere = rows_for_python(t_env, t_env.sql_query(for_all)).broadcast(CONFIGURATION, SILENCES, SOURCES)
    rows = keyed.connect(everywhere).process(alerting.Alerting(snapshot), output_type=alerting.OUTPUT_TYPE)
    rows = rows.name("alert life cycle").uid("alert-shards")
    return {
        "alerts": rows,
        "notifications": rows.get_side_output(alerting.NOTIFICATIONS),
        "alert_decisions": rows.get_side_output(alerting.DECISIONS),
        "alert_controls": rows.get_side_output(alerting.CONTROLS),
    }
