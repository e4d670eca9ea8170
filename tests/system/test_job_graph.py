"""The jobs as the cluster runs them: names and uids of the operators, and the configuration that is really in force."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.stack import Stack

pytestmark = pytest.mark.stack

JOB = "standalone"
NAMED = {
    "pane-detection": "detectors on panes",
    "correlation": "correlation",
    "alerting": "alert life cycle",
}
"""uid → name of the operators with state of ours; planner operators have generated uids (`table.exec.uid.generation`)."""


@pytest.fixture(scope="module")
def job(stack: Stack) -> str:
    return stack.job_id(JOB)


def test_every_operator_has_a_name_and_a_uid(stack: Stack, job: str) -> None:
    vertices = stack.rest.call(f"/jobs/{job}")["vertices"]
    assert vertices and all(vertex["name"].strip() for vertex in vertices)
    names = " ".join(vertex["name"] for vertex in vertices)
    for name in NAMED.values():
        assert name in names, f"operator {name!r} is in no task: {names[:1000]}"


def test_checkpoints_are_exactly_once_and_kept(stack: Stack, job: str) -> None:
    found = stack.rest.call(f"/jobs/{job}/checkpoints/config")
    assert found["mode"] == "exactly_once"
    assert found["interval"] == 5_000
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
    cluster = {entry["key"]: entry["value"] for entry in _list(stack, "/jobmanager/config")}
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


def test_job_never_restarted(stack: Stack, job: str) -> None:
    assert stack.rest.restarts(job) == 0
    assert stack.rest.job(job).state == "RUNNING"


def _list(stack: Stack, path: str) -> list[dict[str, str]]:
    import json
    import urllib.request

    with urllib.request.urlopen(f"{stack.endpoints.flink_rest_url}{path}", timeout=20) as answer:
        found = json.loads(answer.read())
    assert isinstance(found, list)
    return found
