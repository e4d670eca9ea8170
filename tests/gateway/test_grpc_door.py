"""The gRPC door with real clients of the generated code."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status

from schemas.pb.llm.sentinel.v1 import ingestion_pb2 as pb
from schemas.pb.llm.sentinel.v1.ingestion_pb2_grpc import TelemetryIngestionStub
from tests.support.doors import TOKEN, TOKENS, Doors, OpenDoors

WRITTEN_BY_THE_JOB = {"cost_source", "cost_reason", "model_sent"}
"""What ingestion adds to an event; no sender writes it."""


def message(**changes: Any) -> Any:
    """One valid event."""
    event = pb.TelemetryEvent(
        source=pb.EventSource(service="test", host="here"),
        application_id="chat",
        response=pb.ResponseData(status="success", latency_ms=12.5, model="gpt-4", completion_tokens=0),
        metadata={"user_id": "u-1", "environment": "prod", "region": "eu"},
    )
    event.timestamp.FromMilliseconds(time.time_ns() // 1_000_000)
    for name, value in changes.items():
        if hasattr(value, "DESCRIPTOR"):
            getattr(event, name).CopyFrom(value)
        else:
            setattr(event, name, value)
    return event


@pytest.fixture
def stub(doors: Doors) -> Iterator[Any]:
    with grpc.insecure_channel(doors.grpc) as channel:
        yield TelemetryIngestionStub(channel)


def test_every_payload_arrives_as_the_schema_has_it(doors: Doors, stub: Any) -> None:
    request = pb.RequestData(model="gpt-4", prompt="hello", prompt_tokens=3, parameters=pb.Parameters(temperature=0.5, max_tokens=10))
    request.context.update({"turn": 2, "documents": ["a", {"b": True}]})
    trace = pb.TraceData(trace_id="t", span_id="s", name="retrieve", duration_ms=3.5)
    trace.start_time.FromMilliseconds(1_700_000_000_123)
    payloads = {
        "request": request,
        "error": pb.ErrorData(error_type="rate_limit", status_code=429, retryable=False),
        "metric": pb.MetricData(metric_name="queue", value=0.0, dimensions={"region": "eu"}),
        "trace": trace,
    }
    events = [message(correlation_id="c-1"), *(message(**{name: payload}) for name, payload in payloads.items())]
    answer = stub.BatchTelemetry(pb.BatchTelemetryRequest(events=events))
    assert (answer.accepted_count, answer.rejected_count, len(answer.rejections)) == (5, 0, 0)
    stored = {one["event_type"]: one for one in doors.events()}
    assert stored["llm.response"]["data"] == {"status": "success", "latency_ms": 12.5, "model": "gpt-4", "completion_tokens": 0}
    assert stored["llm.response"]["metadata"] == {"user_id": "u-1", "environment": "prod", "tags": {"region": "eu"}}
    assert stored["llm.response"]["correlation_id"] == "c-1" and stored["llm.response"]["event_id"]
    assert stored["llm.request"]["data"]["context"] == {"turn": 2.0, "documents": ["a", {"b": True}]}
    assert stored["llm.request"]["data"]["parameters"] == {"temperature": 0.5, "max_tokens": 10}
    assert stored["llm.error"]["data"] == {"error_type": "rate_limit", "status_code": 429, "retryable": False}
    assert stored["llm.metric"]["data"] == {"metric_name": "queue", "value": 0.0, "dimensions": {"region": "eu"}}
    assert stored["llm.trace"]["data"]["start_time"] == "2023-11-14T22:13:20.123Z"


def test_bad_events_of_a_batch_are_listed_and_the_others_kept(doors: Doors, stub: Any) -> None:
    no_time = message()
    no_time.ClearField("timestamp")
    bad = [message(response=pb.ResponseData(status="fine", latency_ms=1)), no_time, message(event_id="no uuid")]
    answer = stub.BatchTelemetry(pb.BatchTelemetryRequest(events=[message(), *bad, message()]))
    assert (answer.accepted_count, answer.rejected_count) == (2, 3)
    assert [(one.index, one.field) for one in answer.rejections] == [(1, "$.data.status"), (2, "$.timestamp"), (3, "$.event_id")]
    assert answer.rejections[0].expected == "one of success, error, timeout" and answer.rejections[0].found == "fine"
    assert answer.rejections[2].event_id == "no uuid"
    assert len(doors.events()) == 2


def test_a_stream_is_answered_when_it_ends(doors: Doors, stub: Any) -> None:
    answer = stub.StreamTelemetry(message() if number != 7 else message(application_id="") for number in range(50))
    assert (answer.accepted, answer.accepted_count, answer.rejected_count) == (False, 49, 1)
    assert [(one.index, one.field) for one in answer.rejections] == [(7, "$.application_id")]
    assert stub.StreamTelemetry(iter(())).accepted
    assert len(doors.events()) == 49


def test_what_a_stream_sent_before_it_broke_is_there(doors: Doors, stub: Any) -> None:
    def broken() -> Iterator[Any]:
        yield from (message() for _ in range(10))
        time.sleep(1)
        raise RuntimeError("the client dies")

    with pytest.raises(grpc.RpcError):
        stub.StreamTelemetry(broken())
    assert len(doors.events()) == 10
    assert stub.BatchTelemetry(pb.BatchTelemetryRequest(events=[message()])).accepted_count == 1


def test_health_and_reflection(doors: Doors, stub: Any) -> None:
    assert stub.HealthCheck(pb.HealthCheckRequest()).status == pb.HealthCheckResponse.SERVING
    with grpc.insecure_channel(doors.grpc) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for name in ("", "llm.sentinel.v1.TelemetryIngestion", "opentelemetry.proto.collector.trace.v1.TraceService"):
            assert health.Check(health_pb2.HealthCheckRequest(service=name)).status == health_pb2.HealthCheckResponse.SERVING
        services = ProtoReflectionDescriptorDatabase(channel).get_services()
    assert {"llm.sentinel.v1.TelemetryIngestion", "grpc.health.v1.Health"} <= set(services)


def test_tokens_and_tenants(open_doors: OpenDoors) -> None:
    doors = open_doors({"authentication": TOKENS})
    batch = pb.BatchTelemetryRequest(events=[message()])
    with grpc.insecure_channel(doors.grpc) as channel:
        stub = TelemetryIngestionStub(channel)
        for metadata, code in (
            ((), grpc.StatusCode.UNAUTHENTICATED),
            ((("authorization", "Bearer wrong"),), grpc.StatusCode.UNAUTHENTICATED),
            ((("x-api-key", TOKEN), ("x-sentinel-tenant", "initech")), grpc.StatusCode.PERMISSION_DENIED),
        ):
            for call in (
                lambda given: stub.BatchTelemetry(batch, metadata=given),
                lambda given: stub.StreamTelemetry(iter([message()]), metadata=given),
            ):
                with pytest.raises(grpc.RpcError) as caught:
                    call(metadata)
                assert caught.value.code() == code
        given = (("authorization", f"Bearer {TOKEN}"),)
        assert stub.BatchTelemetry(batch, metadata=given).accepted_count == 1
    assert {one["tenant_id"] for one in doors.events()} == {"acme"}


def test_limits_and_sizes_and_rubbish(open_doors: OpenDoors) -> None:
    doors = open_doors({"rateLimiting": {"maxEventsPerSecond": 10, "burstSize": 10}})
    with grpc.insecure_channel(doors.grpc) as channel:
        stub = TelemetryIngestionStub(channel)
        stub.BatchTelemetry(pb.BatchTelemetryRequest(events=[message()] * 10))
        with pytest.raises(grpc.RpcError) as caught:
            stub.BatchTelemetry(pb.BatchTelemetryRequest(events=[message()] * 10))
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        retry = error_details_pb2.RetryInfo()
        status = rpc_status.from_call(caught.value)
        assert status is not None and status.details[0].Unpack(retry)
        assert 0 < retry.retry_delay.ToMilliseconds() <= 1_000
        for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
            with pytest.raises(grpc.RpcError) as caught:
                huge = message(request=pb.RequestData(model="m", prompt=" " * 4_000_001))
                stub.BatchTelemetry(pb.BatchTelemetryRequest(events=[huge]), compression=compression)
            assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        service = "/llm.sentinel.v1.TelemetryIngestion"
        for call in (
            channel.unary_unary(f"{service}/BatchTelemetry"),
            lambda raw: channel.stream_unary(f"{service}/StreamTelemetry")(iter([raw])),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                call(b"\xff\xff\xff")
            assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert len(doors.events()) == 10


def test_the_event_of_the_contract_is_the_event_of_the_schema() -> None:
    """Every field of the JSON Schema's payloads has one in the protobuf, so that no door knows less than another."""
    from sentinel.contract.telemetry import ErrorData, MetricData, RequestData, ResponseData, TraceData

    for model, descriptor in (
        (RequestData, pb.RequestData),
        (ResponseData, pb.ResponseData),
        (ErrorData, pb.ErrorData),
        (MetricData, pb.MetricData),
        (TraceData, pb.TraceData),
    ):
        names = {field.name for field in descriptor.DESCRIPTOR.fields}
        sent = model.model_fields.keys() - WRITTEN_BY_THE_JOB
        assert {"cost_usd" if name == "cost" else name for name in sent} == names, json.dumps(sorted(names))
