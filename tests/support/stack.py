"""A whole embedded stack for tests: a home of its own, free ports, driven through the `sentinel` command as people drive it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from services.stack.flink_rest import FlinkRest, JobInfo, innermost
from services.stack.paths import Layout
from services.stack.processes import end_all, tagged
from services.stack.state import Endpoints, load_endpoints, require_state
from services.stack.wanted import wanted_jobs
from tests.support.streams import Place, Sent, Stored, produce, read_topic
from tests.support.telemetry import MINUTE_MS, ticks

UP_LIMIT_S = 420
SUBMIT_LIMIT_S = 600
LOG_TAIL = 4000


class Stack:
    """A running stack. Endpoints are read anew, since nothing may be taken for granted after a kill."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.layout = Layout(home)

    @property
    def endpoints(self) -> Endpoints:
        return load_endpoints(self.home)

    @property
    def rest(self) -> FlinkRest:
        return FlinkRest(self.endpoints.flink_rest_url, timeout_s=20.0)

    def sentinel(
        self, *arguments: str, timeout_s: float = 180, ok: bool = True, environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Runs `sentinel ARGUMENTS` for this home; with `ok` a failure of it fails the test with its output."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SENTINEL_")}
        command = [sys.executable, "-m", "services.cli.main", *arguments]
        done = subprocess.run(
            command, env=kept | {"SENTINEL_HOME": str(self.home)} | (environment or {}), capture_output=True, timeout=timeout_s, check=False
        )
        said = f"sentinel {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr.decode()[-LOG_TAIL:]}"
        assert not ok or done.returncode == 0, said
        return done

    def apply(self, config: dict[str, Any], name: str = "sentinel-config.yaml") -> int:
        """Publishes a configuration; its version."""
        path = self.home / name
        path.write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
        said = self.sentinel("config", "apply", str(path)).stdout.decode()
        return int(said.split("version ")[1].split()[0])

    def produce(self, records: list[Sent] | Iterator[Sent], topic: str = "llm-telemetry") -> list[Place]:
        return produce(self.endpoints.kafka_bootstrap, records, topic)

    def send_closed(self, records: list[Sent], start_ms: int, end_ms: int) -> None:
        """Sends telemetry of [start_ms, end_ms) and then moves event time beyond it, so that every window up to `end_ms` closes.

        A partition that was idle does not hold event time back until it has a record again: all are woken first.
        """
        self.produce(ticks(start_ms))
        time.sleep(1.0)
        self.produce([*records, *ticks(end_ms + MINUTE_MS)])

    def topic(self, name: str, start: dict[int, int] | None = None) -> list[Stored]:
        return read_topic(self.endpoints.kafka_bootstrap, name, start)

    def rows(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Result of a query as the product's own role."""
        with psycopg.connect(self.endpoints.postgres_dsn, autocommit=True, connect_timeout=10) as connection:
            return connection.execute(sql, parameters).fetchall()  # type: ignore[arg-type]

    def value(self, sql: str, *parameters: object) -> Any:
        """First column of the first row, None when there is none."""
        found = self.rows(sql, *parameters)
        return found[0][0] if found else None

    def ensure(self, job: str) -> None:
        """Submits a job unless it is wanted already."""
        if job not in wanted_jobs(self.layout):
            self.sentinel("jobs", "submit", job, timeout_s=SUBMIT_LIMIT_S)

    def job_id(self, name: str) -> str:
        job = wanted_jobs(self.layout)[name]
        assert job.job_id is not None, f"job {name} was never submitted"
        return job.job_id

    def job(self, name: str) -> JobInfo:
        """State, restarts and checkpoints of a job."""
        return self.rest.job(self.job_id(name))

    def require_undisturbed(self, *names: str) -> None:
        """Fails unless the jobs run and never restarted; says then what Flink recorded of it, and which services had to be started again."""
        for name in names:
            job = self.job(name)
            if job.state == "RUNNING" and not job.restarts:
                continue
            recorded = self.rest.call(f"/jobs/{job.job_id}/exceptions?maxExceptions=5").get("exceptionHistory", {}).get("entries", [])
            # A summary shows the first line only; in a trace the cause stands at the end, behind the frames of Flink's mailbox.
            causes = "; ".join(innermost(entry["stacktrace"]) for entry in recorded)
            traces = "\n".join(f"{entry['timestamp']} {entry.get('taskName')}:\n{entry['stacktrace'][-LOG_TAIL:]}" for entry in recorded)
            services = {service: state.restarts for service, state in require_state(self.layout).services.items() if state.restarts}
            pytest.fail(f"{name} is {job.state}, restarted {job.restarts} times: {causes}; services started again: {services}\n{traces}")

    def pid(self, service: str) -> int:
        """Process id of a supervised service, which leads its process group."""
        process = require_state(self.layout).services[service].process
        assert process is not None and process.alive(), f"{service} has no live process"
        return process.pid

    def counters(self, tenant: str) -> dict[str, int]:
        """Events of a tenant by kind."""
        sql = "SELECT kind, sum(events)::bigint FROM sentinel.ingest_counters WHERE tenant_id = %s GROUP BY kind"
        return dict(self.rows(sql, tenant))  # type: ignore[arg-type]


@contextmanager
def running_stack(config: dict[str, Any], jobs: str = "standalone", dispatcher: bool = True) -> Iterator[Stack]:
    """Starts a stack with a published configuration and jobs; at the end nothing of it is left. A stack that does not start is a failure.

    The jobs have two slots, whatever they are configured for: what subtasks must agree on is tested too.
    """
    home = Path(tempfile.mkdtemp(prefix="sentinel-system-"))
    stack = Stack(home)
    try:
        option = "--dispatcher" if dispatcher else "--no-dispatcher"
        stack.sentinel("up", option, timeout_s=UP_LIMIT_S)
        stack.apply(config)
        for job in jobs.split(","):
            stack.sentinel("jobs", "submit", job, "--parallelism", "2", timeout_s=SUBMIT_LIMIT_S)
        # Joins, and leaves what runs alone.
        stack.sentinel("up", option, "--jobs", jobs, timeout_s=SUBMIT_LIMIT_S)
        yield stack
    finally:
        _remove(stack)


def _remove(stack: Stack) -> None:
    try:
        stack.sentinel("down", timeout_s=180, ok=False)
        left = tagged(stack.home)
        names = [process.name() for process in left]
        end_all(left)
        assert not left, f"processes left after 'sentinel down': {names}"
    finally:
        keep = os.environ.get("SENTINEL_TEST_LOGS")
        if keep:
            shutil.copytree(stack.layout.logs, Path(keep) / stack.home.name, dirs_exist_ok=True)
        shutil.rmtree(stack.home, ignore_errors=True)
