"""llm-anomalies ─► which alerts ─► alert life cycle ─► llm-alerts, notify-<receiver>, Postgres"""

from __future__ import annotations

from jobs.stages import alerting, outputs, sources
from jobs.stages.environment import create_environment
from jobs.stages.execution import execute
from sentinel.settings import JobSettings
from udfs.config_watch import read_snapshot

JOB = "alerting"


def main() -> None:
    settings = JobSettings()
    snapshot = read_snapshot(settings.kafka)
    environment, t_env = create_environment(JOB)
    statements = t_env.create_statement_set()

    sources.records(t_env, settings, JOB, "anomaly_records", "llm-anomalies")
    sources.configuration(t_env, settings, JOB)
    alerting.requests(t_env, settings, JOB)

    routed, inhibiting = alerting.routed(t_env, settings, snapshot)
    streams = alerting.alerts(t_env, routed, inhibiting, snapshot)
    outputs.alerts(t_env, settings, streams, statements)

    statements.attach_as_datastream()
    execute(environment, JOB)


if __name__ == "__main__":
    main()
