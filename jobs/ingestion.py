"""llm-telemetry ─► decode, validate, complete ─┬─► llm-events (exactly once)
└─► llm-telemetry-dlq
"""

from __future__ import annotations

from jobs.stages import outputs, rollups, sources
from jobs.stages.admission import admitted
from jobs.stages.environment import create_environment
from jobs.stages.execution import execute
from sentinel.settings import JobSettings
from udfs.config_watch import read_snapshot

JOB = "ingestion"


def main() -> None:
    settings = JobSettings()
    snapshot = read_snapshot(settings.kafka_bootstrap)
    environment, t_env = create_environment(JOB)
    statements = t_env.create_statement_set()

    sources.telemetry(t_env, settings, JOB)
    admitted(t_env, settings, statements, snapshot)
    outputs.refusals(t_env, settings, statements)
    rollups.counters(t_env, settings, statements, panes=False)

    statements.attach_as_datastream()
    execute(environment, JOB)


if __name__ == "__main__":
    main()
