"""Everything from telemetry to notifications in one graph, without the hops between jobs.

llm-telemetry ─► inspect ─┬─ refusals ─────────────────────────────► llm-telemetry-dlq
                          ├─ findings of per-event rules ─┬────────► llm-anomalies (at once)
                          │                               ▼
                          ├─ panes ─► detectors ─► correlation ────► llm-anomalies, Postgres
                          │                               └► alerts ► llm-alerts, notify-<receiver>, Postgres
                          └─ panes ─► minutes ─────────────────────► Postgres, llm-rollups
"""

from __future__ import annotations

from jobs.stages import alerting, detection, outputs, panes, rollups, sources
from jobs.stages.configuration import configuration
from jobs.stages.environment import create_environment
from jobs.stages.execution import execute
from jobs.stages.inspection import inspected
from sentinel.settings import JobSettings
from udfs.config_watch import read_snapshot

JOB = "standalone"


def main() -> None:
    settings = JobSettings()
    snapshot = read_snapshot(settings.kafka)
    environment, t_env = create_environment(JOB)
    statements = t_env.create_statement_set()

    topics = sources.telemetry(t_env, settings, JOB)
    config = configuration(t_env, settings, JOB)
    alerting.requests(t_env, settings, JOB)

    rows = inspected(t_env, settings, snapshot, topics)
    outputs.refusals(t_env, settings, statements)

    panes.blocks(t_env, rows)
    panes.shards(t_env, settings, config, snapshot, detect=True, roll_up=True)
    rollups.rollups(t_env, settings, statements)
    rollups.counters(t_env, settings, statements)

    detection.event_findings(t_env)
    anomalies = detection.correlated(t_env, config, snapshot, route=True)
    outputs.anomalies(t_env, settings, anomalies, statements, hop=False)
    outputs.shadow_findings(t_env, settings, statements)
    outputs.first_findings(statements)

    streams = alerting.alerts(t_env, *detection.routed(anomalies), snapshot)
    outputs.alerts(t_env, settings, streams, statements)
    statements.attach_as_datastream()
    execute(environment, JOB)


if __name__ == "__main__":
    main()
