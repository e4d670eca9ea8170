"""What `sentinel status` says of jobs: the slots that they were given, and what their windows dropped."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from services.stack.wanted import wanted_jobs
from tests.support.stack import Stack
from tests.support.streams import Sent, produce
from tests.support.waiting import wait_for

TOPIC = "late-texts"
JOB = "late_window"
LATE = 3

pytestmark = [pytest.mark.stack, pytest.mark.timeout(420)]


@pytest.fixture(scope="module")
def late_window(stack: Stack) -> Iterator[Stack]:
    admin = AdminClient({"bootstrap.servers": stack.endpoints.kafka_bootstrap})
    admin.create_topics([NewTopic(TOPIC, 1)])[TOPIC].result(30)
    stack.sentinel("jobs", "submit", "tests.support.late_window", TOPIC, "--parallelism", "1", timeout_s=300)
    yield stack
    stack.sentinel("jobs", "cancel", JOB)
    admin.delete_topics([TOPIC])[TOPIC].result(30)


def _listed(stack: Stack) -> dict[str, dict[str, object]]:
    return {job["name"]: job for job in json.loads(stack.sentinel("jobs", "list", "-o", "json").stdout)}


def _event_time_ms(stack: Stack) -> int:
    job_id = stack.job_id(JOB)
    window = next(vertex["id"] for vertex in stack.rest.call(f"/jobs/{job_id}")["vertices"] if "GlobalWindowAggregate" in vertex["name"])
    return max((int(one["value"]) for one in stack.rest.entries(f"/jobs/{job_id}/vertices/{window}/watermarks")), default=-1)


def test_rows_that_a_window_drops_are_told(late_window: Stack) -> None:
    stack, now_ms = late_window, time.time_ns() // 1_000_000

    def send(number: int, at_ms: int) -> None:
        # Of different texts: rows of one text and second are one before they come to the window.
        produce(stack.endpoints.kafka_bootstrap, [Sent(b"text-%d" % text, at_ms) for text in range(number)], TOPIC)

    send(1, now_ms)
    # The first has to be read before those behind it come: what is late is judged by what was there before.
    wait_for(lambda: _event_time_ms(stack), 60, "the window to see event time", until=lambda at: at >= now_ms)
    assert _listed(stack)[JOB]["late_dropped"] == 0
    send(LATE, now_ms - 60_000)
    wait_for(lambda: _listed(stack)[JOB]["late_dropped"], 60, "what was dropped to be told", until=lambda dropped: dropped == LATE)
    row = next(line for line in stack.sentinel("status").stdout.decode().splitlines() if line.startswith(JOB))
    assert f" {LATE} " in row


def test_a_job_keeps_the_slots_it_was_given(late_window: Stack) -> None:
    assert wanted_jobs(late_window.layout)[JOB].parallelism == 1
    vertices = late_window.rest.call(f"/jobs/{late_window.job_id(JOB)}")["vertices"]
    assert {vertex["parallelism"] for vertex in vertices} == {1}


def test_more_slots_than_are_free_are_refused(late_window: Stack) -> None:
    done = late_window.sentinel("jobs", "submit", "ingestion", "--parallelism", "9", ok=False)
    refused = done.stderr.decode()
    assert done.returncode == 1
    assert "Job ingestion asks for 9 slots; " in refused and " of 4 are free." in refused
    assert "ingestion" not in wanted_jobs(late_window.layout)


def test_state_that_a_changed_topology_has_no_operator_for_is_refused_until_it_is_given_up(late_window: Stack) -> None:
    changed = ("jobs", "submit", "tests.support.late_window", TOPIC, "changed", "--parallelism", "1")
    late_window.sentinel("jobs", "cancel", JOB)
    refused = late_window.sentinel(*changed, timeout_s=300, ok=False)
    assert refused.returncode == 1
    assert "the operator is not available in the new program. --drop-unclaimed leaves such state behind" in refused.stderr.decode()
    done = late_window.sentinel(*changed, "--drop-unclaimed", timeout_s=300)
    assert re.search(r" accepted as [0-9a-f]+, from \S+/chk-\d+", done.stderr.decode())
    assert _listed(late_window)[JOB]["state"] == "RUNNING"
