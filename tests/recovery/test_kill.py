"""kill -9 in the middle of a replay: at the end every sink holds what it holds when nothing happens.

All runs send the same events to one stack, each under tenants and in a stretch of event time of its own (see `tests.support.sinks`).
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from itertools import count as counting
from typing import Any
from uuid import uuid4

import pytest

from services.stack.flink_rest import ENDED
from services.stack.state import running_state
from tests.support import scenario
from tests.support.shield_orders import ENFORCING, TOPIC, orders
from tests.support.sinks import Rows, Run, differences, snapshot
from tests.support.stack import Stack
from tests.support.streams import TELEMETRY, committed_offsets, end_offsets
from tests.support.telemetry import Segments
from tests.support.waiting import wait_for

pytestmark = pytest.mark.recovery

JOB = "standalone"
GROUP = "sentinel-standalone"
MINUTES = 12
KILL_AT = 0.4
AHEAD = 400
"""Records that lie behind the newest checkpoint when the kill comes: about a second of them."""
RESUMED_S = 420.0
SETTLED_S = 240.0
runs = counting()
segments = Segments()


def _new_run() -> Run:
    return Run(f"r{next(runs)}{uuid4().hex[:4]}", segments.take(MINUTES))


def _counted(stack: Stack, run: Run) -> int:
    found = stack.value("SELECT sum(events)::bigint FROM sentinel.ingest_counters WHERE tenant_id LIKE %s", f"{run.name}.%")
    return int(found or 0)


def _wait_counted(stack: Stack, run: Run) -> None:
    wanted = scenario.count()
    wait_for(
        lambda: _counted(stack, run),
        RESUMED_S,
        f"{wanted:,} events of run {run.name} in the counters",
        until=lambda n: n >= wanted,
        pause_s=2.0,
    )


@pytest.fixture(scope="module")
def undisturbed(recovery_stack: Stack) -> Rows:
    """The sinks after a run in which nothing was killed, once they have come to rest."""
    run = _new_run()
    replay = scenario.Replay(recovery_stack, run)
    replay.finish(recovery_stack)
    _wait_counted(recovery_stack, run)
    seen: list[Rows] = []

    def at_rest() -> bool:
        seen.append(snapshot(recovery_stack, run))
        return len(seen) > 2 and seen[-1] == seen[-2] == seen[-3]

    wait_for(at_rest, SETTLED_S, "the sinks to come to rest", pause_s=3.0)
    recovery_stack.require_undisturbed(JOB)
    return seen[-1]


def test_the_undisturbed_run_fills_every_sink(undisturbed: Rows) -> None:
    assert {sink: len(rows) for sink, rows in undisturbed.items() if not rows} == {}
    detectors = {row[2] for row in undisturbed["postgres anomalies"]}
    assert {"prompt-injection-patterns", "error-rate-zscore", "latency-zscore", "application-silence"} <= detectors
    ordered = [name for *_, found in undisturbed[f"topic {TOPIC}"] for name, _ in found]
    assert sorted(ordered) == sorted(tuple(row[:6]) for row in undisturbed["postgres anomalies"] if row[2] in ENFORCING), (
        "each anomaly once"
    )
    assert {name[2] for name in ordered} == ENFORCING and len(ordered) > len(ENFORCING) + 20
    assert not [row for row in undisturbed["postgres counters"] if row[2] == "late"], "no event of an orderly run is late"


@pytest.mark.parametrize("service", ["taskmanager", "jobmanager", "kafka", "postgres"])
def test_a_killed_process_leaves_no_trace(recovery_stack: Stack, undisturbed: Rows, service: str) -> None:
    stack, run = recovery_stack, _new_run()
    # Without the other two the job waits and goes on where it was.
    must_restore = service in ("taskmanager", "jobmanager")
    replay = scenario.Replay(stack, run)
    replay.wait_until(KILL_AT)
    checkpoint = _checkpoint_with_state(stack, run)
    ordered = set(_orders(stack, run))
    wait_for(lambda: _read_ahead(stack), 60, "records behind the newest checkpoint", until=lambda n: n >= AHEAD, pause_s=0.1)
    ahead, read = _read_ahead(stack), sum(end_offsets(stack.endpoints.kafka_bootstrap, TELEMETRY).values())
    killed = _kill(stack, service)
    wait_for(lambda: _alive_again(stack, service, killed), RESUMED_S, f"a new {service}")
    replay.finish(stack)
    restored = _wait_resumed(stack, checkpoint["id"], must_restore)
    _wait_counted(stack, run)
    written = sum(end_offsets(stack.endpoints.kafka_bootstrap, TELEMETRY).values())
    assert written > read, "records were sent after the kill"
    repeated = _processed_twice(stack, run)
    if must_restore:
        assert repeated, "no record was processed twice: the kill tested nothing"
    print(
        f"{service}: killed {ahead} records after checkpoint {checkpoint['id']} ({checkpoint['state_size']:,} bytes of state); "
        f"restored from {restored or 'none, the job went on'}; {repeated} of the broken records were read twice; {written - read:,} records sent after the kill"
    )
    wait_for(
        lambda: differences(undisturbed, snapshot(stack, run)),
        SETTLED_S,
        "the sinks to be equal to an undisturbed run's",
        lambda text: not text,
        5.0,
    )
    found = _orders(stack, run)
    later = len(set(found) - ordered)
    print(
        f"{service}: orders to Shield: {len(ordered)} before the kill, {later} behind the checkpoint, {len(found) - len(set(found))} repeated"
    )
    assert ordered and later > 3, "Shield is asked on either side of the kill"


def test_a_search_cluster_that_is_away_delays_no_alert(recovery_stack: Stack) -> None:
    """OpenSearch is killed and held down for a minute; alerts go on, and what was missed is indexed afterwards."""
    stack = recovery_stack
    stack.sentinel("jobs", "submit", "indexing", timeout_s=600)
    run = _new_run()
    down_until = time.monotonic() + 60.0
    replay = scenario.Replay(stack, run)
    waited: list[float] = []
    told = "SELECT count(*) FROM sentinel.notifications WHERE tenant_id LIKE %s"
    while time.monotonic() < down_until:
        process = running_state(stack.layout)
        found = process.services["opensearch"].process if process else None
        if found is not None and found.alive():
            os.kill(found.pid, signal.SIGKILL)
        if stack.value(told, f"{run.name}.%") and not waited:
            waited.append(down_until - time.monotonic())
        time.sleep(0.5)
    assert waited, "an alert was told while OpenSearch was away"
    replay.finish(stack)
    ids = "SELECT anomaly_id FROM sentinel.anomalies WHERE tenant_id LIKE %s"
    _wait_counted(stack, run)
    wait_for(
        lambda: _missing(stack, [row[0] for row in stack.rows(ids, f"{run.name}.%")]),
        RESUMED_S,
        "all anomalies in the index",
        lambda n: n == 0,
        3.0,
    )
    assert stack.job("indexing").state == "RUNNING"


def _missing(stack: Stack, ids: list[str]) -> int:
    """How many of the anomalies OpenSearch does not hold; all of them while it does not answer."""
    from opensearchpy import OpenSearch
    from opensearchpy.exceptions import OpenSearchException

    assert ids
    try:
        with OpenSearch(stack.endpoints.opensearch_url, timeout=10, max_retries=0) as client:
            found = client.search(
                index="sentinel-anomalies*", body={"query": {"ids": {"values": ids}}, "size": 0, "track_total_hits": True}
            )
    except OpenSearchException:
        return len(ids)
    return len(ids) - int(found["hits"]["total"]["value"])


def _kill(stack: Stack, service: str) -> int:
    """kill -9 of that process alone; its pid."""
    pid = stack.pid(service)
    os.kill(pid, signal.SIGKILL)
    return pid


def _alive_again(stack: Stack, service: str, killed: int) -> bool:
    state = running_state(stack.layout)
    found = state.services[service] if state else None
    return bool(found and found.status == "healthy" and found.process and found.process.pid != killed)


def _latest(stack: Stack, which: str) -> dict[str, Any]:
    return dict((stack.rest.call(f"/jobs/{stack.job_id(JOB)}/checkpoints").get("latest") or {}).get(which) or {})


def _checkpoint_with_state(stack: Stack, run: Run) -> dict[str, Any]:
    """The next checkpoint to complete; by now the run's state is in it."""
    before = _latest(stack, "completed")["id"]
    found = wait_for(lambda: _latest(stack, "completed"), 120, "a checkpoint in mid-replay", until=lambda c: c["id"] > before, pause_s=0.1)
    assert found["state_size"] > 0 and found["status"] == "COMPLETED"
    return found


def _read_ahead(stack: Stack) -> int:
    """Records on the topic beyond the offsets of the newest checkpoint."""
    ends = end_offsets(stack.endpoints.kafka_bootstrap, TELEMETRY)
    committed = committed_offsets(stack.endpoints.kafka_bootstrap, GROUP, TELEMETRY)
    return sum(max(0, end - committed.get(partition, 0)) for partition, end in ends.items())


def _processed_twice(stack: Stack, run: Run) -> int:
    """Broken records that were refused twice: read before the kill, and again from the offsets of the checkpoint."""
    letters = [found["dlq_id"] for stored in stack.topic("llm-telemetry-dlq") if run.owns((found := stored.json())["tenant_id"])]
    return len(letters) - len(set(letters))


def _orders(stack: Stack, run: Run) -> list[str]:
    """The anomalies that Shield was asked to act on, each as often as it was asked."""
    return [order.anomaly_id for order in orders(stack, f"{run.name}.")]


def _wait_resumed(stack: Stack, checkpoint_id: int, must_restore: bool) -> int | None:
    """The checkpoint that the job was restored from (None when it only waited), once it runs and completes checkpoints again."""

    def resumed() -> bool:
        job = stack.job(JOB)
        assert job.state not in ENDED, f"the job is {job.state}: {stack.rest.root_cause(job.job_id)}"
        restored = _latest(stack, "restored")
        if must_restore and not restored:
            return False
        newest = _latest(stack, "completed")
        return stack.rest.tasks_running(job.job_id) and newest.get("id", 0) > max(checkpoint_id, restored.get("id", 0))

    wait_for(_quiet(resumed), RESUMED_S, "the job to run and complete checkpoints again", pause_s=1.0)
    restored = _latest(stack, "restored")
    if must_restore:
        assert restored and restored["id"] >= checkpoint_id, f"restored from {restored}, expected checkpoint {checkpoint_id} or a later one"
    return restored.get("id")


def _quiet(probe: Callable[[], bool]) -> Callable[[], bool]:
    """False while the JobManager does not answer."""
    from services.stack.errors import StackError

    def asked() -> bool:
        try:
            return probe()
        except (OSError, StackError):
            return False

    return asked
