"""What the ingestion job does to an event, the doors do as well, with the same code: other spellings, prices, times; and each sender's tenant."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest

from schemas.pb.llm.sentinel.v1 import ingestion_pb2 as pb
from schemas.pb.llm.sentinel.v1.ingestion_pb2_grpc import TelemetryIngestionStub
from sentinel.config.model import SentinelConfig
from sentinel.config.runtime import RuntimeConfig
from sentinel.events.decode import decode_batch
from sentinel.events.enrichment import Enrichment
from sentinel.events.halves import is_half, without_latency
from sentinel.events.normalisation import Normaliser
from sentinel.events.pairing_settings import PairingSettings
from tests.support.doors import TOKEN, TOKENS, Doors, OpenDoors, event, lines

BEARER = {"authorization": f"Bearer {TOKEN}"}
CAMEL = {
    "eventId": "0197b3f0-7a2c-7cc0-8a11-000000000001",
    "source": {"service": "shop", "host": "web-1"},
    "eventType": "response",
    "applicationId": "camel-shop",
    "data": {"status": "ok", "modelId": "openai/gpt-4o", "latencySeconds": 1.5, "usage": {"input_tokens": 1000, "output_tokens": 500}},
}


def camel(**changes: Any) -> dict[str, Any]:
    return CAMEL | {"timestamp": time.time_ns() // 1_000_000} | changes


def sent_at(days: float) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()


def test_other_spellings_and_prices_at_the_door(doors: Doors) -> None:
    assert doors.post(json.dumps(camel()).encode()).status_code == 202
    [stored] = doors.events()
    assert stored["event_id"] == CAMEL["eventId"] and stored["event_type"] == "llm.response" and stored["application_id"] == "camel-shop"
    expected = {"status": "success", "model": "gpt-4o", "model_sent": "openai/gpt-4o", "latency_ms": 1500.0, "cost": 0.0075}
    assert {name: stored["data"].get(name) for name in expected} == expected and stored["data"]["cost_source"] == "price_table"


def test_what_passed_a_door_is_left_alone_by_the_job(doors: Doors) -> None:
    sent = [
        camel(),
        event(data={"status": "success", "latency_ms": 1, "model": "nobody-knows", "total_tokens": 3, "response": "a@example.org"}),
    ]
    assert doors.post(lines(sent)).status_code == 202
    job = Enrichment.of(RuntimeConfig.from_snapshot(1, SentinelConfig().to_snapshot()))
    for record in doors.records():
        decoded = decode_batch([record.value], [time.time_ns() // 1_000_000], normaliser=job.normaliser)
        assert not decoded.rewritten and job.finish(record.value, decoded.events[0]) is record.value


def test_times_outside_the_span_are_refused_or_brought_in_by_tenant(open_doors: OpenDoors) -> None:
    doors = open_doors({"authentication": TOKENS}, tenants={"acme": {"timestamps": "clamp"}})
    late, early = event(timestamp=sent_at(-30)), event(timestamp=sent_at(2))
    assert doors.post(lines([late, early]), **BEARER).status_code == 202, "the token's tenant decides for events that name none"
    answer = doors.post(lines([late]), **BEARER, x_sentinel_tenant="globex")
    assert answer.status_code == 400 and answer.json()["rejections"][0]["field"] == "$.timestamp"
    now_s = time.time()
    for record, (one, distance_s) in zip(doors.records(), ((late, -7 * 86400), (early, 300)), strict=True):
        stored = json.loads(record.value)
        assert stored["timestamp_sent"] == one["timestamp"] and stored["tenant_id"] == "acme"
        at_s = datetime.fromisoformat(stored["timestamp"]).timestamp()
        assert abs(at_s - (now_s + distance_s)) < 60 and record.timestamp_ms == pytest.approx(at_s * 1000, abs=1)


def test_an_answer_without_latency_is_taken_where_its_request_tells_it(open_doors: OpenDoors) -> None:
    doors = open_doors({"authentication": TOKENS}, tenants={"globex": {"pairRequests": True}})
    data = {"status": "success", "model": "gpt-4", "completion_tokens": 7, "response": "write to a@example.org"}
    bare, alone = event(data=data, correlation_id="c"), event(data=data)
    unnamed = {name: item for name, item in bare.items() if name != "event_id"}
    globex = BEARER | {"x_sentinel_tenant": "globex"}
    answer = doors.post(lines([event(), bare, alone, unnamed, bare | {"tenant_id": "acme"}]), **globex)
    assert answer.status_code == 207 and answer.json()["accepted"] == 3
    refused = [(one["index"], one["field"], one["found"]) for one in answer.json()["rejections"]]
    assert refused == [(2, "$.data.latency_ms", "nothing"), (4, "$.data.latency_ms", "nothing")]
    assert doors.post(lines([bare]), **BEARER).status_code == 400, "the other tenant of the token does not pair"
    message = pb.TelemetryEvent(application_id="chat", correlation_id="c", response=pb.ResponseData(status="success"))
    message.source.CopyFrom(pb.EventSource(service="s", host="h"))
    message.timestamp.GetCurrentTime()
    with grpc.insecure_channel(doors.grpc) as channel:
        stub, batch = TelemetryIngestionStub(channel), pb.BatchTelemetryRequest(events=[message])
        for tenant, accepted in (("globex", 1), ("acme", 0)):
            metadata = (("authorization", BEARER["authorization"]), ("x-sentinel-tenant", tenant))
            assert stub.BatchTelemetry(batch, metadata=metadata).accepted_count == accepted
    stored = [record for record in doors.records() if b'"latency_ms"' not in record.value]
    assert len(stored) == 3 and {one.key for one in stored} == {b"globex|chat"}
    assert sum(b"write to [EMAIL]" in one.value for one in stored) == 2 and len({one.json()["event_id"] for one in stored}) == 3
    settings = PairingSettings(tenants={"globex": True})
    for one in stored:
        refusal = decode_batch([one.value], [one.timestamp_ms]).rejects[0][1]
        found = without_latency(one.value, refusal, one.timestamp_ms, Normaliser())
        assert found is not None and is_half(found[1], "globex", settings), "the job lets it wait for its request"


def test_the_application_table_is_for_senders_that_nobody_knows(open_doors: OpenDoors) -> None:
    mapping = {"normalisation": {"applications": {"chat": "initech"}}}
    open_house = open_doors(mapping)
    assert open_house.post(lines([event(), event(application_id="other")])).status_code == 202
    assert sorted(one.get("tenant_id", "default") for one in open_house.events()) == ["default", "initech"]
    with_tokens = open_doors({"authentication": TOKENS, **mapping})
    assert with_tokens.post(lines([event(), camel(applicationId="chat")]), **BEARER).status_code == 202
    assert [one["tenant_id"] for one in with_tokens.events()] == ["acme", "acme"], "a name that two tenants use leads nobody astray"
    answer = with_tokens.post(json.dumps(camel(tenantId="initech")).encode(), **BEARER)
    assert answer.status_code == 403 and answer.json()["rejections"][0]["field"] == "$.tenant_id"
