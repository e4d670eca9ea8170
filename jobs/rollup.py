"""llm-events ─► panes ─► minutes ─► Postgres, llm-rollups; what came in is counted by tenant."""

from __future__ import annotations

from jobs.stages import panes, rollups, sources
from jobs.stages.configuration import configuration
from jobs.stages.environment import create_environment
from jobs.stages.execution import execute
from jobs.stages.inspection import inspected
from sentinel.settings import JobSettings
from udfs.config_watch import read_snapshot

JOB = "rollup"


def main() -> None:
    settings = JobSettings()
    snapshot = read_snapshot(settings.kafka)
    environment, t_env = create_environment(JOB)
    statements = t_env.create_statement_set()

    topics = sources.telemetry(t_env, settings, JOB, topics="llm-events", committed_only=True)
    panes.blocks(t_env, inspected(t_env, settings, snapshot, topics))
    panes.shards(t_env, settings, configuration(t_env, settings, JOB), snapshot, detect=False, roll_up=True)
    rollups.rollups(t_env, settings, statements)
    rollups.counters(t_env, settings, statements, refusals=False)

    statements.attach_as_datastream()
    execute(environment, JOB)


if __name__ == "__main__":
    main()
