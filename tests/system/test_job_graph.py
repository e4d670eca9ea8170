"""The jobs as the cluster runs them: names and uids of the operators, and the configuration that is really in force."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import psutil
import pytest

from operators.priority import NICENESS
from services.demo.gauges import JobGauges
from services.stack import flink_conf
from services.stack.java import java_home
from services.stack.paths import project_root
from services.stack.processes import tagged
from services.stack.service import Context
from services.stack.state import require_state
from tests.support.stack import Stack
from tests.support.telemetry import Segments, record, response
from tests.support.waiting import wait_for

pytestmark = pytest.mark.stack

JOB = "standalone"
NAMED = {
    "shard-panes": "panes of a shard",
    "correlation": "correlation",
    "alert-shards": "alert life cycle",
}
"""uid → name of the operators with state of ours; planner operators have generated uids (`table.exec.uid.generation`)."""

TOPOLOGIES = ("standalone", "ingestion", "detection", "alerting", "rollup", "indexing")
STATELESS = {"_stream_key_by_map_operator"}
"""What PyFlink puts between operators by itself, for keys. It cannot be given a uid and keeps nothing."""


@pytest.fixture(scope="module")
def job(stack: Stack) -> str:
    return stack.job_id(JOB)


def test_every_operator_has_a_name_and_a_uid(stack: Stack, job: str) -> None:
    vertices = stack.rest.call(f"/jobs/{job}")["vertices"]
    assert vertices and all(vertex["name"].strip() for vertex in vertices)
    names = " ".join(vertex["name"] for vertex in vertices)
    for name in NAMED.values():
        assert name in names, f"operator {name!r} is in no task: {names[:1000]}"


def test_single_events_share_their_interpreter_with_nobody(stack: Stack, job: str) -> None:
    slots = 2
    shared, of_the_hop = 1, 1
    workers = [
        process
        for process in psutil.Process(stack.pid("taskmanager")).children(recursive=True)
        if "beam_boot" in " ".join(process.cmdline())
    ]
    assert len(workers) == slots * (shared + of_the_hop)
    giving_way = [process for process in tagged(stack.home) if process.nice() == min(os.nice(0) + NICENESS, 19)]
    assert len(giving_way) == slots * shared, "the processes that judge panes, and no other"


def test_the_young_generation_has_what_is_configured(stack: Stack) -> None:
    # A heap that may grow clamps the young generation to a third of what it begins with, and full collections stop every task.
    (manager,) = stack.rest.call("/taskmanagers")["taskmanagers"]
    heap = stack.rest.call(f"/taskmanagers/{manager['id']}")["metrics"]
    assert heap["heapCommitted"] == heap["heapMax"]


def test_the_live_view_shows_what_is_read(stack: Stack, segments: Segments) -> None:
    gauges, start_ms = JobGauges(stack.endpoints.flink_rest_url), segments.take(1)

    def rate() -> float:
        stack.produce([record(response(start_ms, "shown", "chat"), start_ms) for _ in range(50)])
        return gauges.read().events_per_s or 0.0

    wait_for(rate, 60, "a rate above zero")


@pytest.fixture(scope="module")
def graphs(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """Operators of every topology, as its client builds them."""
    folder = tmp_path_factory.mktemp("graphs")
    context = Context(stack.layout, require_state(stack.layout).ports, java_home())
    flink_conf.write(flink_conf.job_config(context, "standalone", "graphs", parallelism=2), folder)
    command = [sys.executable, "-m", "tests.support.stream_graphs", str(folder / "graphs.json"), *TOPOLOGIES]
    environment = flink_conf.flink_environment(context, folder)
    done = subprocess.run(command, env=environment, cwd=project_root(), capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads((folder / "graphs.json").read_text())
    assert isinstance(found, dict) and set(found) == set(TOPOLOGIES)
    return found


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_every_operator_that_could_keep_state_has_a_uid(graphs: dict[str, list[dict[str, Any]]], topology: str) -> None:
    operators = graphs[topology]
    without = [operator["name"] for operator in operators if not operator["uid"] and operator["name"] not in STATELESS]
    assert operators and not without, f"{topology}: {without}"
    uids = [operator["uid"] for operator in operators if operator["uid"]]
    assert len(uids) == len(set(uids))
    assert all(operator["name"].strip() for operator in operators)


@pytest.mark.parametrize("topology", ["standalone", "detection", "rollup"])
def test_blocks_are_gathered_behind_the_exchange(graphs: dict[str, list[dict[str, Any]]], topology: str) -> None:
    # In two steps Flink joins those of three seconds at a time in the thread of the hop, and single events wait for it.
    names = [operator["name"] for operator in graphs[topology] if "WindowAggregate" in operator["name"]]
    assert len(names) == 1 and names[0].startswith("WindowAggregate"), names


@pytest.mark.parametrize("topology", ["standalone", "detection", "rollup"])
def test_lateness_is_judged_in_one_subtask(graphs: dict[str, list[dict[str, Any]]], topology: str) -> None:
    # Each of several has its own event time for a moment, and a window may have gone on by that of another.
    judging = [operator["parallelism"] for operator in graphs[topology] if "CURRENT_WATERMARK" in operator["description"]]
    windows = [operator["parallelism"] for operator in graphs[topology] if "WindowAggregate" in operator["name"]]
    assert judging == [1] and windows == [2]


def test_checkpoints_are_exactly_once_and_kept(stack: Stack, job: str) -> None:
    found = stack.rest.call(f"/jobs/{job}/checkpoints/config")
    assert found["mode"] == "exactly_once"
    assert found["interval"] == 10_000
    assert found["tolerable_failed_checkpoints"] == 10
    assert found["externalization"] == {"enabled": True, "delete_on_cancellation": False}
    assert stack.rest.job(job).checkpoints_completed > 0


def test_parallelism_and_restarts_are_bounded(stack: Stack, job: str) -> None:
    vertices = stack.rest.call(f"/jobs/{job}")["vertices"]
    # Sinks' committers and the like may be of parallelism 1; the key groups are those of every savepoint for ever.
    assert {vertex["maxParallelism"] for vertex in vertices} == {720}
    config: dict[str, Any] = stack.rest.call(f"/jobs/{job}/config")["execution-config"]
    assert config["restart-strategy"].startswith("Restart with exponential delay: starting at PT1S"), config
    assert config["object-reuse-mode"] is True


def test_effective_configuration_is_the_committed_one(stack: Stack) -> None:
    cluster = {entry["key"]: entry["value"] for entry in stack.rest.entries("/jobmanager/config")}
    wanted = {
        "pipeline.max-parallelism": "720",
        "execution.checkpointing.mode": "EXACTLY_ONCE",
        "execution.checkpointing.interval": "5 s",
        "restart-strategy.type": "exponential-delay",
        "restart-strategy.exponential-delay.attempts-before-reset-backoff": "30",
        "python.execution-mode": "process",
        "python.fn-execution.bundle.time": "20",
    }
    assert {name: cluster.get(name) for name in wanted} == wanted


def test_job_never_restarted(stack: Stack) -> None:
    stack.require_undisturbed(JOB)
