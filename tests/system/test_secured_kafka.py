"""A real job reads from and writes to a Kafka with TLS, client certificate and SCRAM, and neither Flink nor a log shows the password."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from sentinel.config.load import default_config
from services.config_service.topic import publish_snapshot
from services.stack.topics import ensure_topics
from tests.support.secured_kafka import PASSWORD, SecuredBroker
from tests.support.stack import Stack
from tests.support.streams import produce, read_topic
from tests.support.telemetry import MINUTE_MS, record, response, ticks
from tests.support.waiting import wait_for

pytestmark = pytest.mark.stack

TENANT = f"secured-{uuid4().hex[:8]}"
JOB = "ingestion"
CALLS = 20


@pytest.fixture(scope="module")
def broker(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    """A second Kafka, with the job of ingestion between its topics."""
    started = SecuredBroker(tmp_path_factory.mktemp("secured-kafka"))
    try:
        ensure_topics(started.bootstrap)
        publish_snapshot(started.bootstrap, 1, default_config().config.to_snapshot())
        stack.sentinel("jobs", "cancel", JOB, timeout_s=120, ok=False)
        stack.sentinel("jobs", "submit", JOB, "--fresh", timeout_s=300, environment=started.variables())
        yield started
        stack.sentinel("jobs", "cancel", JOB, timeout_s=120, ok=False)
    finally:
        started.kill()


def test_events_go_through_the_job(stack: Stack, broker: SecuredBroker) -> None:
    start_ms = round(time.time() * 1000) - MINUTE_MS
    calls = [record(response(start_ms + 100 * number, TENANT, "chat"), start_ms + 100 * number) for number in range(CALLS)]
    broken = record(response(start_ms, TENANT, "mail") | {"event_type": "llm.unheard-of"}, start_ms)
    produce(broker.bootstrap, [*calls, broken, *ticks(start_ms + MINUTE_MS)])

    def own(topic: str) -> int:
        return sum(TENANT.encode() in (one.value or b"") for one in read_topic(broker.bootstrap, topic))

    wait_for(lambda: own("llm-events"), 120, "the events on the secured broker", until=lambda found: found == CALLS)
    wait_for(lambda: own("llm-telemetry-dlq"), 60, "the dead letter on the secured broker", until=lambda found: found == 1)
    stack.require_undisturbed(JOB)


def test_flink_shows_the_login_without_the_password(stack: Stack, broker: SecuredBroker) -> None:
    job, base = stack.job_id(JOB), stack.endpoints.flink_rest_url
    pages = [
        f"/jobs/{job}",
        f"/jobs/{job}/plan",
        f"/jobs/{job}/config",
        "/jobmanager/config",
        "/jobmanager/environment",
        "/jobmanager/logs",
    ]
    for page in pages:
        with urllib.request.urlopen(base + page, timeout=20) as answer:
            assert PASSWORD not in json.dumps(json.load(answer)), page
    for process in psutil.process_iter(["cmdline"]):
        assert PASSWORD not in " ".join(process.info["cmdline"] or []), process.pid
    holding = _search(stack.layout.home, PASSWORD.encode())
    assert not holding
    assert any(file.name == "taskmanager.log" for file in _search(stack.layout.home, job.encode())), (
        "the search finds what the logs do hold"
    )


def _search(folder: Path, text: bytes) -> list[Path]:
    """Files that hold the text: logs, settings, checkpoints; not the stores' own data."""
    holding = []
    for part in ("logs", "run", "tmp", "data/checkpoints"):
        for file in (folder / part).rglob("*"):
            try:
                if file.is_file() and text in file.read_bytes():
                    holding.append(file)
            except OSError:  # what Flink cleans up while we look
                continue
    return holding
