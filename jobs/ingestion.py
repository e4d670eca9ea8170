"""What producers send, made ready for the other topologies:

llm-telemetry ─► decode, validate, complete ─► pair requests and answers ─► each id once ─► llm-events (exactly once)
                                             └► llm-telemetry-dlq
"""

from __future__ import annotations

from jobs.stages import admission, outputs, pairing, rollups, sources
from jobs.stages.configuration import configuration
from jobs.stages.environment import create_environment
from jobs.stages.execution import execute
from sentinel.settings import JobSettings
from udfs.config_watch import read_snapshot

JOB = "ingestion"


def main() -> None:
    settings = JobSettings()
    snapshot = read_snapshot(settings.kafka)
    environment, t_env = create_environment(JOB, admission.state_backend(settings, snapshot))
    statements = t_env.create_statement_set()

    sources.telemetry(t_env, settings, JOB)
    admitted = admission.admitted(t_env, settings, snapshot)
    pairing.paired(t_env, admitted, configuration(t_env, settings, JOB), snapshot)
    pairing.counted(t_env, settings, statements)
    admission.passed_on(t_env, settings, statements)
    outputs.refusals(t_env, settings, statements)
    rollups.counters(t_env, settings, statements, panes=False, duplicates=True)

    statements.attach_as_datastream()
    execute(environment, JOB)


if __name__ == "__main__":
    main()
