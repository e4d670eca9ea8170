"""The bench's own stack, apart from anybody's `.sentinel`: start, submit, follow and cancel jobs on it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from sentinel.config.load import DEFAULT_FILE
from services.stack.errors import StackError
from services.stack.flink_rest import ENDED, FlinkRest
from services.stack.paths import Layout, project_root
from services.stack.state import Endpoints, load_endpoints, running_state
from services.stack.submit import submit
from services.stack.wanted import unwant_job, wanted_jobs

DEFAULT_HOME = project_root() / ".sentinel-bench"
_MARK = "bench.json"


@dataclass(frozen=True)
class BenchStack:
    """A running stack that belongs to the bench: it cancels jobs and empties tables."""

    layout: Layout
    endpoints: Endpoints

    @property
    def rest(self) -> FlinkRest:
        return FlinkRest(self.endpoints.flink_rest_url, timeout_s=10.0)

    @property
    def bootstrap(self) -> str:
        return self.endpoints.kafka_bootstrap

    def cancel_all(self) -> None:
        """Every job off the cluster, wanted or not."""
        for name in wanted_jobs(self.layout):
            unwant_job(self.layout, name)
        rest = self.rest
        for job in rest.jobs():
            if job.state not in ENDED:
                with contextlib.suppress(StackError):
                    rest.cancel(job.job_id)
        while any(job.state not in ENDED for job in rest.jobs()):
            time.sleep(0.2)

    def submit(self, name: str, module: str, args: list[str], environment: dict[str, str], parallelism: int | None = None) -> str:
        """Submit without state, on as many slots as flink-conf says unless told otherwise; the job id."""
        with _environment(environment):
            return submit(self.layout, name, module, args, parallelism=parallelism, fresh=True).job_id

    def configure(self, config: dict[str, Any] | None = None) -> None:
        """Put a configuration into force; without one the built-in, which every row is measured with unless it says otherwise."""
        path = DEFAULT_FILE
        if config is not None:
            path = self.layout.home / "configuration.yaml"
            # JSON is YAML.
            path.write_text(json.dumps(config))
        sentinel(self.layout.home, "config", "apply", str(path))

    def empty_tables(self) -> None:
        """Delete what earlier rows left in the sinks, so that a row's counts are its own."""
        with psycopg.connect(self.endpoints.postgres_dsn) as connection:
            for table in ("anomalies", "alerts", "notifications", "rollups_1m", "ingest_counters"):
                connection.execute(f"TRUNCATE sentinel.{table}")

    def counted(self) -> dict[str, int]:
        """Events in Postgres by kind (valid, dlq, late)."""
        with psycopg.connect(self.endpoints.postgres_dsn) as connection:
            rows = connection.execute("SELECT kind, sum(events)::bigint FROM sentinel.ingest_counters GROUP BY kind").fetchall()
        return {str(kind): int(events) for kind, events in rows}


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)


def sentinel(home: Path, *arguments: str, environment: dict[str, str] | None = None) -> float:
    """Run a `sentinel` command on the bench's stack; its seconds. Raises SystemExit when it fails (it has said why)."""
    began = time.monotonic()
    variables = os.environ | {"SENTINEL_HOME": str(home)} | (environment or {})
    done = subprocess.run([sys.executable, "-m", "services.cli.main", *arguments], env=variables, stdout=sys.stderr, check=False)
    if done.returncode != 0:
        raise SystemExit(f"bench: `sentinel {' '.join(arguments)}` ended with status {done.returncode}; its message is above")
    return time.monotonic() - began


def bring_up(home: Path) -> BenchStack:
    """Start the bench's stack, or join it, and put the built-in configuration into force.

    Raises SystemExit when `home` holds a stack that was not made by the bench.
    """
    if home.exists() and any(home.iterdir()) and not (home / _MARK).exists():
        raise SystemExit(
            f"bench: {home} holds something that the bench did not make; it empties tables and cancels jobs, so give it a folder of its own"
        )
    home.mkdir(parents=True, exist_ok=True)
    (home / _MARK).touch()
    (home / ".gitignore").write_text("*\n")
    layout = Layout(home)
    if running_state(layout) is None:
        sentinel(home, "up")
    stack = BenchStack(layout, load_endpoints(home))
    stack.cancel_all()
    stack.configure()
    return stack
