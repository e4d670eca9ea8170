"""llm-anomalies ─► OpenSearch. A job of its own, so that a search cluster that is away delays no alert."""

from __future__ import annotations

from jobs.stages import search_index, sources
from jobs.stages.environment import create_environment
from jobs.stages.execution import execute
from sentinel.settings import JobSettings

JOB = "indexing"


def main() -> None:
    settings = JobSettings()
    environment, t_env = create_environment(JOB)

    sources.records(t_env, settings, JOB, "anomaly_records", "llm-anomalies")
    search_index.indexed(t_env, settings, "anomaly_records")

    execute(environment, JOB)


if __name__ == "__main__":
    main()
