"""Run one Flink job over a filled topic and measure it.

Progress is taken from checkpoints: a checkpoint's committed offsets together with the time at which it was triggered are exact, whatever the
cluster's metric interval is. Short runs ask for checkpoints of their own, to have enough samples.
"""

from __future__ import annotations

import contextlib
import sys
import time
import uuid

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from bench.figures import expected
from bench.row import Row, take_rates
from bench.sampling import ENGINE, FORK_SERVER, Sampler, service_roots
from bench.stack import BenchStack
from bench.topic import Filled, committed
from services.stack.errors import StackError
from services.stack.flink_rest import ENDED

POLL_S = 1.0
STALLED_S = 240.0
SHORT_RUN = 1_000_000
_BUSY = "busyTimeMsPerSecond,backPressuredTimeMsPerSecond,idleTimeMsPerSecond"


def run_job(stack: BenchStack, row: Row, module: str, args: list[str], job: str, filled: Filled, parallelism: int | None = None) -> Row:
    """Submit `module` on a consumer group of its own, wait until it has committed the whole topic, cancel it. `job` names its group.

    Raises SystemExit when the job fails or makes no progress.
    """
    stack.cancel_all()
    group = f"bench-{row.name}-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": stack.bootstrap})
    sampler = Sampler(
        {name: pid for name, pid in service_roots(stack.layout).items() if name in (*ENGINE, FORK_SERVER, "kafka", "postgres")}
    )
    row.events = filled.events
    began = time.time()
    environment = {"SENTINEL_KAFKA_GROUP": group, "SENTINEL_TELEMETRY_TOPICS": filled.topic}
    job_id = stack.submit(row.name.replace("-", "_"), module, args, environment, parallelism)
    row.details["submit_s"] = round(time.time() - began, 1)
    rest = stack.rest
    progress: list[tuple[float, int]] = [(began, 0)]
    moved_at = asked_at = time.time()
    declined = 0
    try:
        while progress[-1][1] < filled.events:
            time.sleep(POLL_S)
            sampler.sample()
            now = time.time()
            count = 0
            with contextlib.suppress(KafkaException):
                count = committed(admin, f"{group}-{job}", filled.topic)
            latest = rest.call(f"/jobs/{job_id}/checkpoints").get("latest", {}).get("completed")
            if latest is None:
                # Triggered while tasks were still starting: declined, and counted as failed by Flink.
                declined = rest.job(job_id).checkpoints_failed
            if latest and count > progress[-1][1]:
                progress.append((latest["trigger_timestamp"] / 1000, count))
                moved_at = now
                _watch_vertices(stack, job_id, row, count)
                print(f"  {row.name}: {count:,} of {filled.events:,}", file=sys.stderr)
            elif latest and count == 0 and progress[-1][1] == 0:
                progress[-1] = (latest["trigger_timestamp"] / 1000, 0)
            # Near its expected end a run asks too: else its length would be a multiple of the interval.
            if (filled.events < SHORT_RUN or expected(progress, now) >= filled.events) and now - asked_at > 1.0:
                asked_at = now
                with contextlib.suppress(StackError, OSError):
                    rest.call(f"/jobs/{job_id}/checkpoints", {"checkpointType": "CONFIGURED"})
            if rest.job(job_id).state in ENDED or now - moved_at > STALLED_S:
                raise SystemExit(
                    f"bench: row {row.name} stopped at {progress[-1][1]:,} of {filled.events:,}: {rest.root_cause(job_id) or 'no progress'}"
                )
        row.wall_s = round(time.time() - began, 1)
        _settle(stack, job_id)
        info = rest.job(job_id)
        row.checkpoints, row.checkpoints_failed, row.restarts = (
            info.checkpoints_completed,
            info.checkpoints_failed - declined,
            info.restarts,
        )
        row.details["checkpoint_ms"] = _checkpoint_times(stack, job_id)
    finally:
        stack.cancel_all()
    take_rates(row, progress, sampler)
    return row


def _settle(stack: BenchStack, job_id: str) -> None:
    """Two more checkpoints: every window that the last events closed has then reached its sink."""
    target = stack.rest.job(job_id).checkpoints_completed + 2
    deadline = time.monotonic() + 60
    while stack.rest.job(job_id).checkpoints_completed < target and time.monotonic() < deadline:
        time.sleep(0.5)


def _checkpoint_times(stack: BenchStack, job_id: str) -> dict[str, int]:
    summary = stack.rest.call(f"/jobs/{job_id}/checkpoints").get("summary", {}).get("end_to_end_duration", {})
    return {name: int(float(summary[name])) for name in ("avg", "max") if name in summary}


def _watch_vertices(stack: BenchStack, job_id: str, row: Row, count: int) -> None:
    """Busy and back-pressured time of each operator chain (ms a second, mean of the subtasks), as last seen before 90 % of the topic."""
    if count > 0.9 * row.events:
        return
    found: dict[str, dict[str, float]] = {}
    for vertex in stack.rest.call(f"/jobs/{job_id}").get("vertices", []):
        with contextlib.suppress(OSError, ValueError):
            values = stack.rest.entries(f"/jobs/{job_id}/vertices/{vertex['id']}/subtasks/metrics?get={_BUSY}&agg=avg")
            times: dict[str, float] = {
                value["id"].removesuffix("TimeMsPerSecond"): round(float(value["avg"])) for value in values if value["avg"] != "NaN"
            }
            if times:
                found[f"{vertex['name'][:70]} ({vertex['parallelism']})"] = times
    row.details["vertices_ms_per_s"] = found
