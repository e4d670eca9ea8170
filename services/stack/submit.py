"""Submits topologies to the embedded Flink cluster and waits until they really run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.stack.client import TIME_LIMIT_S, run_client
from services.stack.errors import StackError
from services.stack.flink_rest import ENDED, FlinkRest
from services.stack.java import java_home
from services.stack.locks import file_lock
from services.stack.paths import Layout
from services.stack.ports import HOST
from services.stack.service import Context
from services.stack.state import require_state
from services.stack.wanted import WantedJob, drop_old_checkpoints, newest_checkpoint, want_job, wanted_jobs

Say = Callable[[str], None]
"""Receives one progress line."""

MAX_RESTARTS_WHILE_WAITING = 5


@dataclass(frozen=True)
class Submitted:
    """A job that the JobManager accepted."""

    name: str
    job_id: str
    restored_from: Path | None


def module_of(topology: str) -> str:
    """`standalone` → `jobs.standalone`; a dotted name is a module already."""
    return topology if "." in topology else f"jobs.{topology}"


def job_name(topology: str) -> str:
    """Name under which checkpoints, logs and the list of jobs know the topology."""
    return topology.rsplit(".", 1)[-1]


def submit(
    layout: Layout,
    name: str,
    module: str,
    args: Sequence[str] = (),
    *,
    parallelism: int | None = None,
    restore: Path | None = None,
    fresh: bool = False,
    drop_unclaimed: bool = False,
    only_if_missing: bool = False,
) -> Submitted:
    """Runs the topology's client process; returns once the JobManager has accepted the job, on `parallelism` slots or as many as flink-conf says.

    The job starts from `restore` (a savepoint or checkpoint folder), else from its newest complete checkpoint, unless `fresh`; with
    `drop_unclaimed` state of operators that the topology no longer has is left behind instead of refused. With
    `only_if_missing` a job that the cluster already lists under its last id is left alone. Raises StackError with the root cause.
    """
    if args and module.startswith("jobs."):
        raise StackError(
            f"Topology {name} takes no arguments, found: {' '.join(args)}; its settings are environment variables SENTINEL_… (sentinel/settings.py)."
        )
    state = require_state(layout)
    context = Context(layout, state.ports, java_home())
    rest = FlinkRest(f"http://{HOST}:{state.ports['flink']}")
    with file_lock(layout.run / "submit.lock", "submitting a job", TIME_LIMIT_S):
        known = wanted_jobs(layout).get(name)
        listed = {job.job_id: job for job in rest.jobs()}
        current = listed.get(known.job_id) if known and known.job_id else None
        if current is not None and current.state not in ENDED:
            if only_if_missing:
                return Submitted(name, current.job_id, None)
            raise StackError(f"Job {name} is running already ({current.job_id}); cancel it with 'sentinel jobs cancel {name}' first.")
        if parallelism and not only_if_missing:
            _require_slots(rest, name, parallelism)
        drop_old_checkpoints(layout.checkpoints(name), restore)
        start = restore or (None if fresh else newest_checkpoint(layout.checkpoints(name)))
        job_id = run_client(context, name, module, args, start, drop_unclaimed, parallelism)
        want_job(layout, WantedJob(name=name, module=module, args=list(args), parallelism=parallelism, job_id=job_id))
    return Submitted(name, job_id, start)


def _require_slots(rest: FlinkRest, name: str, wanted: int) -> None:
    """Without them the job would wait for five minutes, then fail."""
    overview = rest.overview()
    free, total = overview["slots-available"], overview["slots-total"]
    if wanted > free:
        raise StackError(
            f"Job {name} asks for {wanted} slots; {free} of {total} are free. "
            "A TaskManager has as many as taskmanager.numberOfTaskSlots in flink-conf/config.yaml says; 'sentinel jobs list' shows what runs."
        )


def wait_running(layout: Layout, name: str, say: Say, time_limit_s: float = 180.0) -> None:
    """Waits until every task of a job runs and a checkpoint of this submission has completed.

    Until then Python workers may still boot while Java sinks already run ahead. Raises StackError with the job's root cause when it
    ends or keeps restarting.
    """
    rest = FlinkRest(f"http://{HOST}:{require_state(layout).ports['flink']}")
    job = wanted_jobs(layout).get(name)
    if job is None or job.job_id is None:
        raise StackError(f"Job {name} was not submitted; submit it with 'sentinel jobs submit {name}'.")
    job_id, began, told = job.job_id, time.monotonic(), ""
    while True:
        info = rest.job(job_id)
        if info.state in ENDED or info.restarts >= MAX_RESTARTS_WHILE_WAITING:
            cause = rest.root_cause(job_id) or "no failure was recorded"
            hint = f"; 'sentinel jobs submit {name} --fresh' starts it without state" if "savepoint state" in cause else ""
            log_file = layout.logs / "taskmanager.log"
            raise StackError(f"Job {name} is {info.state} after {info.restarts} restarts: {cause}{hint} (log: {log_file}).")
        running = info.state == "RUNNING" and rest.tasks_running(job_id)
        if running and info.checkpoints_completed:
            say(f"job {name}: running, first checkpoint completed")
            return
        progress = f"job {name}: " + ("running, waiting for its first checkpoint" if running else f"{info.state.lower()}, tasks starting")
        if progress != told:
            say(progress)
            told = progress
        if time.monotonic() - began > time_limit_s:
            raise StackError(f"Job {name} completed no checkpoint within {time_limit_s:.0f} s; see {layout.logs / 'taskmanager.log'}.")
        time.sleep(0.5)


def ensure_running(layout: Layout, topology: str, say: Say) -> None:
    """Submits a topology unless it runs, and waits until it really runs. Raises StackError with the root cause."""
    name = job_name(topology)
    job = wanted_jobs(layout).get(name) or WantedJob(name=name, module=module_of(topology))
    say(f"job {name}: submitting, unless it runs already")
    submitted = submit(layout, name, job.module, job.args, parallelism=job.parallelism, only_if_missing=True)
    if submitted.restored_from:
        say(f"job {name}: starts from {submitted.restored_from.name} of its last run")
    wait_running(layout, name, say)
