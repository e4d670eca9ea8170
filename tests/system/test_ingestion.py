"""The ingestion job: what foreign producers wrote to `llm-telemetry` is canonical, priced and without personal data in `llm-events`."""

from __future__ import annotations

import base64
import json
import os
import signal
import time
import uuid
from typing import Any

import psutil
import pytest

from services.stack.wanted import backend_of, newest_checkpoint
from tests.support.configuration import configuration
from tests.support.receivers import Receivers
from tests.support.stack import Stack
from tests.support.streams import Sent, end_offsets
from tests.support.telemetry import event, record, request, response, ticks
from tests.support.waiting import wait_for

pytestmark = pytest.mark.stack

TENANT = f"door-{uuid.uuid4().hex[:8]}"
ONCE = f"once-{uuid.uuid4().hex[:8]}"
PAIRS = f"pairs-{uuid.uuid4().hex[:8]}"
PLANTED = ("jane@planted.example", "4111 1111 1111 1111", "+49 30 1234567")

CHOICES = {
    "tenants": {ONCE: {"deduplicateEvents": True}, PAIRS: {"pairRequests": True}},
    "ingestion": {"pairing": {"timeout": "3s"}, "pricing": {"models": {"model-p": {"inputUsdPerMillion": 1, "outputUsdPerMillion": 2}}}},
}


def _exchanges(now_ms: int) -> list[Sent]:
    """Of tenant `PAIRS`: a request with an answer that says as little as it may, on another partition; one without; an answer alone, without latency."""

    def asked(application: str, correlation_id: str) -> dict[str, Any]:
        data = {"model": "model-p", "prompt": f"I am {PLANTED[0]}", "prompt_tokens": 1000}
        metadata = {"user_id": "u-1", "session_id": "s-1"}
        return event("llm.request", now_ms, PAIRS, application, data, correlation_id=correlation_id, metadata=metadata)

    def answered(application: str, correlation_id: str, at_ms: int) -> dict[str, Any]:
        return event(
            "llm.response", at_ms, PAIRS, application, {"status": "success", "completion_tokens": 500}, correlation_id=correlation_id
        )

    contents = [asked("answered", "a"), asked("alone", "b"), answered("answered", "a", now_ms + 1500), answered("lost", "c", now_ms)]
    return [record(content, now_ms, number % 4) for number, content in enumerate(contents)]


@pytest.fixture(scope="module")
def events(stack: Stack, receivers: Receivers) -> dict[str, dict[str, Any]]:
    """Events of both tenants in `llm-events`, by application; two of one application have a list under `all`."""
    stack.apply(configuration(receivers) | CHOICES, "ingestion.yaml")
    start = end_offsets(stack.endpoints.kafka_bootstrap, "llm-events")
    stack.sentinel("jobs", "submit", "ingestion", timeout_s=300)
    now_ms = round(time.time() * 1000)
    camel = {
        "eventId": str(uuid.uuid4()),
        "time": now_ms,
        "source": {"service": "s", "host": "h"},
        "eventType": "response",
        "appId": "camel",
    }
    camel |= {
        "tenantId": TENANT,
        "data": {"modelId": "openai/gpt-4o", "status": "ok", "latencySeconds": 1.5, "inputTokens": 100, "outputTokens": 50},
    }
    twice = response(now_ms, ONCE, "twice")
    contents = [
        request(now_ms, TENANT, "request", f"I am {PLANTED[0]}, card {PLANTED[1]}"),
        response(now_ms, TENANT, "response", response=f"call {PLANTED[2]}", cost=None),
        event("llm.error", now_ms, TENANT, "error", {"error_type": "timeout", "message": f"no answer for {PLANTED[0]}"}),
        event("llm.metric", now_ms, TENANT, "metric", {"metric_name": "m", "value": 1.0, "dimensions": {"who": PLANTED[0]}}),
        event("llm.trace", now_ms, TENANT, "trace", {"trace_id": "t", "span_id": "s", "name": f"ask {PLANTED[0]}", "duration_ms": 3.0}),
    ]
    sent = [record(content, now_ms) for content in [*contents, twice, twice, twice]]
    # The last one is another event of the tenant: once it is there, the copies before it on its partition were judged.
    sent += [Sent(json.dumps(camel).encode(), now_ms, None, 0), record(response(now_ms, ONCE, "twice", latency_ms=1.0), now_ms)]
    stack.produce([*sent, *_exchanges(now_ms)])

    def found() -> list[dict[str, Any]]:
        stored = [one.json() for one in stack.topic("llm-events", start) if one.value.startswith(b"{")]
        return [content for content in stored if content["tenant_id"] in (TENANT, ONCE, PAIRS)]

    wait_for(found, 120, "eleven events", until=lambda all_events: len(all_events) >= 11, pause_s=1.0)
    time.sleep(3)
    # Event time moves on, on every partition: what waited for an answer has waited long enough.
    time.sleep(max(0.0, now_ms / 1000 + 7 - time.time()))
    stack.produce(list(ticks(round(time.time() * 1000))))
    # The job stays: the tests that follow send it something as well, and those that want its place end it.
    return {content["application_id"]: content for content in found()} | {"all": {"events": found()}}


def test_all_five_types_travel_without_what_was_planted(events: dict[str, dict[str, Any]]) -> None:
    text = json.dumps(events, ensure_ascii=False)
    assert not [value for value in PLANTED if value in text]
    assert {events[name]["event_type"] for name in ("request", "response", "error", "metric", "trace")} == {
        *("llm.request", "llm.response", "llm.error", "llm.metric", "llm.trace"),
    }
    assert events["request"]["data"]["prompt"] == "I am [EMAIL], card [CREDIT_CARD]"


def test_an_unknown_price_is_unknown(events: dict[str, dict[str, Any]]) -> None:
    data = events["response"]["data"]
    assert data.get("cost") is None and (data["cost_source"], data["cost_reason"]) == ("unknown", "no price for model model-a")


def test_another_spelling_is_canonical_and_priced(events: dict[str, dict[str, Any]]) -> None:
    data = events["camel"]["data"]
    assert (data["model"], data["model_sent"], data["status"], data["latency_ms"]) == ("gpt-4o", "openai/gpt-4o", "success", 1500.0)
    assert (data["cost"], data["cost_source"]) == (0.00075, "price_table")


def test_each_id_once_where_the_tenant_wants_it(events: dict[str, dict[str, Any]]) -> None:
    ids = [content["event_id"] for content in events["all"]["events"] if content["tenant_id"] == ONCE]
    assert len(ids) == 2 and len(set(ids)) == 2


def test_what_is_dropped_is_counted(stack: Stack, events: dict[str, dict[str, Any]]) -> None:
    """Three copies of one id and another event: two passed on, two duplicates. The tenant that did not ask for it has none."""
    wait_for(lambda: stack.counters(ONCE).get("duplicate", 0), 60, "the dropped copies", until=lambda found: found >= 2)
    assert stack.counters(ONCE)["duplicate"] == 2
    assert "duplicate" not in stack.counters(TENANT)


def test_an_answer_gets_what_only_its_request_knew(events: dict[str, dict[str, Any]]) -> None:
    answer = next(one for one in events["all"]["events"] if one["tenant_id"] == PAIRS and one["event_type"] == "llm.response")
    data = answer["data"]
    assert (data["model"], data["latency_ms"], data["prompt_tokens"]) == ("model-p", 1500.0, 1000)
    assert (data["cost"], data["cost_source"], answer["metadata"]) == (0.002, "configuration", {"user_id": "u-1", "session_id": "s-1"})
    assert data["from_request"] == ["model", "prompt_tokens", "latency_ms", "user_id", "session_id"]


def test_requests_go_on_at_once_and_an_unanswered_one_is_counted(stack: Stack, events: dict[str, dict[str, Any]]) -> None:
    asked = [one["application_id"] for one in events["all"]["events"] if one["tenant_id"] == PAIRS and one["event_type"] == "llm.request"]
    assert sorted(asked) == ["alone", "answered"]
    sql = "SELECT application_id, outcome, requests FROM analytics.unpaired_requests WHERE tenant_id = %s"
    wait_for(lambda: stack.rows(sql, PAIRS), 90, "the unanswered request", until=lambda rows: rows == [("alone", "unanswered", 1)])


def test_an_answer_that_nothing_completes_is_a_dead_letter(stack: Stack, events: dict[str, dict[str, Any]]) -> None:
    """Beside the ingestion job runs `standalone`, which pairs nothing and refuses both answers that name no latency."""

    def letters() -> list[str]:
        own = [letter for one in stack.topic("llm-telemetry-dlq") if (letter := one.json())["tenant_id"] == PAIRS]
        assert {letter["path"] for letter in own} <= {"$.data.latency_ms"}
        return sorted(json.loads(base64.b64decode(letter["original_base64"]))["application_id"] for letter in own)

    wait_for(letters, 90, "the dead letters", until=lambda found: found == ["answered", "lost", "lost"])


def test_an_id_stays_known_when_the_taskmanager_is_killed(stack: Stack, events: dict[str, dict[str, Any]]) -> None:
    """What passed before is in the checkpoint: each of the two events, sent once more, is a duplicate."""
    passed = [content for content in events["all"]["events"] if content["tenant_id"] == ONCE]
    before = wait_for(lambda: stack.counters(ONCE).get("duplicate", 0), 60, "the copies of before", until=lambda found: found >= 2)
    start = end_offsets(stack.endpoints.kafka_bootstrap, "llm-events")
    forked = psutil.Process(stack.pid("forkserver")).children()
    assert len(forked) >= 2, "the workers of the job"
    os.kill(stack.pid("taskmanager"), signal.SIGKILL)
    wait_for(lambda: not any(worker.is_running() for worker in forked), 30, "the workers to end with their TaskManager")
    now_ms = round(time.time() * 1000)
    other = response(now_ms, ONCE, "after")
    stack.produce([record(content, now_ms) for content in [*passed, other]])

    def applications() -> set[str]:
        stored = [one.json() for one in stack.topic("llm-events", start) if one.value.startswith(b"{")]
        return {content["application_id"] for content in stored if content["tenant_id"] == ONCE}

    wait_for(applications, 180, "the event that is new", pause_s=1.0)
    wait_for(lambda: stack.counters(ONCE)["duplicate"], 90, "the copies to be dropped", until=lambda found: found >= before + 2)
    assert applications() == {"after"} and stack.counters(ONCE)["duplicate"] == before + 2
    job = stack.job_id("ingestion")
    wait_for(lambda: stack.rest.restarts(job), 30, "Flink to count the restart")
    checkpoints = {name: newest_checkpoint(stack.layout.checkpoints(name)) for name in ("ingestion", "standalone")}
    assert {name: folder and backend_of(folder) for name, folder in checkpoints.items()} == {
        "ingestion": "rocksdb",
        "standalone": "hashmap",
    }
    assert "RocksDB" in stack.rest.call(f"/jobs/{job}/checkpoints/config")["state_backend"]
