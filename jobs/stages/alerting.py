"""From anomalies to alerts and notifications."""

from __future__ import annotations

from pyflink.datastream import DataStream
from pyflink.table import StreamTableEnvironment

from jobs.stages import sources
from jobs.stages.environment import border, keyed_rows, rows_for_python, side_output, view_of
from operators import alerting
from operators.broadcast_configuration import CONFIGURATION
from operators.muted import SILENCES, SOURCES
from sentinel.alerting.blocks import SHARD_LETTERS
from sentinel.settings import JobSettings
from udfs.route_anomalies import route_anomalies


def routed(t_env: StreamTableEnvironment, settings: JobSettings, snapshot: bytes) -> tuple[DataStream, DataStream]:
    """Of table `anomaly_records`: rows (shard, block), which tell alerts of the anomalies that concern them; and what inhibits."""
    t_env.create_temporary_system_function("route_anomalies", route_anomalies(settings.kafka, snapshot))
    lines = "SELECT lines FROM (SELECT route_anomalies(record) AS lines FROM anomaly_records) WHERE lines IS NOT NULL"
    view_of(t_env, "routed_lines", border(t_env, t_env.sql_query(lines)))
    line = "SELECT line FROM routed_lines CROSS JOIN UNNEST(SPLIT(lines, CHR(10))) AS found(line)"
    blocks = f"SELECT SUBSTRING(line, 1, 2) AS shard, SUBSTRING(line, 3) AS record FROM ({line}) WHERE line NOT LIKE '{{%'"
    inhibiting = f"SELECT line AS record FROM ({line}) WHERE line LIKE '{{%'"
    return border(t_env, t_env.sql_query(blocks)), border(t_env, t_env.sql_query(inhibiting))


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
    """Streams of rows by the name of their table, of rows (shard, block) and the view `requests`."""
    view_of(t_env, "routed", routed_anomalies)
    view_of(t_env, "inhibiting", inhibiting)
    # A request about one alert goes where the alert lives; silences, like the configuration, go everywhere, and so does the end of an alert, which
    # may have held back others.
    # Of 32 shards, which are part of the state: as `sentinel.alerting.blocks.shard_of`. A bundle waits for the state of every shard that it
    # touches: few shards, few waits.
    digest = "SELECT MD5(alert_key) AS digest, record FROM requests WHERE alert_key <> ''"
    number = "2 * POSITION(SUBSTRING(digest, 1, 1) IN '0123456789abcdef') - CASE WHEN SUBSTRING(digest, 2, 1) < '8' THEN 1 ELSE 0 END"
    shard = f"SUBSTRING(digest, 1, 1) || SUBSTRING('{SHARD_LETTERS}', {number}, 1)"
    of_shard = f"SELECT shard, record FROM routed UNION ALL SELECT {shard} AS shard, record FROM ({digest})"
    for_all = """
        SELECT record FROM configuration UNION ALL SELECT record FROM inhibiting
        UNION ALL SELECT record FROM requests WHERE alert_key IS NULL OR alert_key = '' OR JSON_VALUE(record, '$.action') = 'resolve'
    """
    keyed = keyed_rows(t_env, of_shard, alerting.INPUT_TYPE)
    everywhere = rows_for_python(t_env, t_env.sql_query(for_all)).broadcast(CONFIGURATION, SILENCES, SOURCES)
    rows = keyed.connect(everywhere).process(alerting.Alerting(snapshot), output_type=alerting.OUTPUT_TYPE)
    rows = rows.name("alert life cycle").uid("alert-shards")
    return {
        "alerts": rows,
        "notifications": side_output(rows, alerting.NOTIFICATIONS),
        "alert_decisions": side_output(rows, alerting.DECISIONS),
        "alert_controls": side_output(rows, alerting.CONTROLS),
    }
