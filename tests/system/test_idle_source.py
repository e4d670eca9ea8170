"""A source that was away while the others went on: what it brings then is late, and counted; no window drops it unseen."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count
from uuid import uuid4

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.support.stack import Stack
from tests.support.telemetry import MINUTE_MS, record, response
from tests.support.waiting import wait_for

pytestmark = pytest.mark.stack

JOB = "standalone"
TOPIC = f"idle-{uuid4().hex[:8]}"
BUSY, AWAY = 0, 1
"""Partitions of the topic: two slots read one each. It gets no pulses."""
IDLE_MS = 1000


@pytest.fixture(scope="module")
def job(stack: Stack) -> Iterator[str]:
    """The job reads the topic alone, and counts a partition as idle after a second."""
    admin = AdminClient({"bootstrap.servers": stack.endpoints.kafka_bootstrap, "log_level": 0})
    for made in admin.create_topics([NewTopic(TOPIC, num_partitions=2, replication_factor=1)]).values():
        made.result(30)
    stack.sentinel("jobs", "cancel", JOB, timeout_s=120, ok=False)
    choices = {"SENTINEL_TELEMETRY_TOPICS": TOPIC, "SENTINEL_IDLE_MS": str(IDLE_MS)}
    stack.sentinel("jobs", "submit", JOB, "--fresh", "--parallelism", "2", timeout_s=300, environment=choices)
    yield stack.job_id(JOB)
    stack.sentinel("jobs", "cancel", JOB, timeout_s=120, ok=False)


def test_what_an_idle_source_brings_late_is_counted(stack: Stack, job: str) -> None:
    before, after = f"before-{uuid4().hex[:8]}", f"after-{uuid4().hex[:8]}"
    start_ms = (round(time.time() * 1000) - 30 * MINUTE_MS) // MINUTE_MS * MINUTE_MS
    seconds = count(3 * 60)

    def send(tenant: str, second: int, partition: int) -> None:
        at_ms = start_ms + second * 1000
        stack.produce([record(response(at_ms, tenant, "chat"), at_ms, partition)], TOPIC)

    def counted(tenant: str) -> dict[str, int]:
        # Event time must move on for timers to fire, and a source that waits for a worker which is just starting counts as idle as well.
        send("busy", next(seconds), BUSY)
        return stack.counters(tenant)

    send(before, 0, AWAY)
    send(before, 0, BUSY)
    time.sleep(3 * IDLE_MS / 1000)
    wait_for(lambda: counted(before), 60, "the minute to end without the idle source", until=lambda found: sum(found.values()) == 2)
    # Not late by the event time of its own source, which is still at `start_ms`.
    send(after, 60, AWAY)
    wait_for(lambda: counted(after), 60, "it to be counted", until=lambda found: found == {"late": 1})
    assert stack.rest.late_dropped(job) == 0
    stack.require_undisturbed(JOB)
