"""What is abnormal in the events that ingestion made ready:

llm-events ─► inspect ─┬─ findings of per-event rules ─┐
                       └─ panes ─► detectors ──────────┴─► correlation ─► llm-anomalies (exactly once), Postgres
"""

from __future__ import annotations

from jobs.stages import alerting, detection, outputs, panes, sources
from jobs.stages.configuration import configuration
from jobs.stages.environment import create_environment
from jobs.stages.execution import execute
from jobs.stages.inspection import inspected
from sentinel.settings import JobSettings
from udfs.config_watch import read_snapshot

JOB = "detection"


def main() -> None:
    settings = JobSettings()
    snapshot = read_snapshot(settings.kafka)
    environment, t_env = create_environment(JOB)
    statements = t_env.create_statement_set()

    topics = sources.telemetry(t_env, settings, JOB, topics="llm-events", committed_only=True)
    config = configuration(t_env, settings, JOB)
    alerting.requests(t_env, settings, JOB)

    rows = inspected(t_env, settings, snapshot, topics)
    panes.blocks(t_env, rows)
    panes.shards(t_env, settings, config, snapshot, detect=True, roll_up=False)
    detection.event_findings(t_env)
    anomalies = detection.correlated(t_env, config, snapshot, route=False)
    outputs.anomalies(t_env, settings, anomalies, statements, hop=True)
    outputs.shadow_findings(t_env, settings, statements)

    statements.attach_as_datastream()
    execute(environment, JOB)


if __name__ == "__main__":
    main()
