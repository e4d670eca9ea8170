"""OTLP by both doors and both encodings, with payloads of every dialect of the table."""

from __future__ import annotations

import gzip
import json
import time
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList

from tests.support.doors import TOKEN, TOKENS, Doors, OpenDoors

PROTOBUF = {"content-type": "application/x-protobuf"}


def any_value(value: Any) -> Any:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, list):
        return AnyValue(array_value=ArrayValue(values=[any_value(item) for item in value]))
    if isinstance(value, dict):
        return AnyValue(kvlist_value=KeyValueList(values=pairs(value)))
    return AnyValue(string_value=value)


def pairs(values: dict[str, Any]) -> list[Any]:
    return [KeyValue(key=name, value=any_value(value)) for name, value in values.items()]


def export(*spans: dict[str, Any], service: str = "chatbot", resource: dict[str, Any] | None = None) -> Any:
    """An export of spans `{name, attributes, failed, message, events, start_ns, end_ns}`, 1.5 s long`."""
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    given = {"service.name": service, "service.version": "2.1", "host.name": "pod-1", "deployment.environment.name": "production"}
    group.resource.attributes.extend(pairs(given | (resource or {})))
    scope = group.scope_spans.add()
    end_ns = time.time_ns() - 1_000_000_000
    for number, one in enumerate(spans):
        span = scope.spans.add()
        span.name = one.get("name", "chat gpt-4o")
        span.trace_id = bytes([number + 1]) * 16
        span.span_id = bytes([number + 1]) * 8
        span.start_time_unix_nano = one.get("start_ns", end_ns - 1_500_000_000)
        span.end_time_unix_nano = one.get("end_ns", end_ns)
        span.attributes.extend(pairs(one.get("attributes", {})))
        if one.get("failed"):
            span.status.code = 2
            span.status.message = one.get("message", "")
        for name, attributes in one.get("events", ()):
            span.events.add(name=name, time_unix_nano=span.start_time_unix_nano + 250_000_000).attributes.extend(pairs(attributes))
    return request


MESSAGES = [{"role": "user", "parts": [{"type": "text", "content": "What is 2+2?"}]}]
ANSWER = [{"role": "assistant", "parts": [{"type": "text", "content": "Four."}], "finish_reason": "stop"}]
DIALECTS: dict[str, dict[str, Any]] = {
    "otel": {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 100,
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.output_tokens": 3,
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.system_instructions": json.dumps([{"type": "text", "content": "Be brief."}]),
        "gen_ai.input.messages": json.dumps(MESSAGES),
        "gen_ai.output.messages": ANSWER,
        "gen_ai.conversation.id": "c-1",
        "user.id": "u-1",
    },
    "openinference": {
        "openinference.span.kind": "LLM",
        "llm.system": "openai",
        "llm.model_name": "gpt-4o-2024",
        "llm.invocation_parameters": '{"temperature": 0.5, "max_tokens": 100}',
        "llm.input_messages.0.message.role": "system",
        "llm.input_messages.0.message.content": "Be brief.",
        "llm.input_messages.1.message.role": "user",
        "llm.input_messages.1.message.content": "What is 2+2?",
        "llm.output_messages.0.message.content": "Four.",
        "llm.token_count.prompt": 12,
        "llm.token_count.completion": 3,
        "llm.token_count.total": 15,
        "llm.finish_reason": "stop",
        "session.id": "c-1",
        "user.id": "u-1",
    },
    "traceloop": {
        "llm.request.type": "chat",
        "gen_ai.system": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 100,
        "gen_ai.prompt.0.role": "system",
        "gen_ai.prompt.0.content": "Be brief.",
        "gen_ai.prompt.1.role": "user",
        "gen_ai.prompt.1.content": "What is 2+2?",
        "gen_ai.completion.0.content": "Four.",
        "gen_ai.completion.0.finish_reason": "stop",
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.output_tokens": 3,
        "traceloop.association.properties.session_id": "c-1",
        "traceloop.association.properties.user_id": "u-1",
    },
    "langfuse": {
        "langfuse.observation.type": "generation",
        "langfuse.observation.model.name": "gpt-4o-2024",
        "langfuse.observation.model.parameters": '{"temperature": 0.5, "max_tokens": 100}',
        "langfuse.observation.input": json.dumps([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is 2+2?"}]),
        "langfuse.observation.output": json.dumps({"role": "assistant", "content": "Four."}),
        "langfuse.observation.usage_details": '{"input": 12, "output": 3, "total": 15}',
        "langfuse.observation.cost_details": '{"total": 0.002}',
        "langfuse.session.id": "c-1",
        "langfuse.user.id": "u-1",
    },
    "litellm": {
        "gen_ai.operation.name": "chat",
        "gen_ai.system": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024",
        "gen_ai.request.temperature": "0.5",
        "gen_ai.request.max_tokens": 100,
        "gen_ai.input.messages": json.dumps([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is 2+2?"}]),
        "gen_ai.output.messages": json.dumps([{"role": "assistant", "content": "Four."}]),
        "gen_ai.response.finish_reasons": '["stop"]',
        "gen_ai.usage.prompt_tokens": 12,
        "gen_ai.usage.completion_tokens": 3,
        "gen_ai.cost.total_cost": 0.002,
        "llm.user": "u-1",
        "session.id": "c-1",
    },
    "openlit": {
        "gen_ai.operation.name": "chat",
        "gen_ai.system": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 100,
        "gen_ai.input.messages": json.dumps([{"role": "system", "parts": [{"type": "text", "content": "Be brief."}]}, *MESSAGES]),
        "gen_ai.output.messages": json.dumps(ANSWER),
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.output_tokens": 3,
        "gen_ai.usage.cost": 0.0,
        "enduser.id": "u-1",
        "gen_ai.conversation.id": "c-1",
    },
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_call_reads_alike_in_every_dialect(doors: Doors, dialect: str) -> None:
    body = export({"attributes": DIALECTS[dialect]}).SerializeToString()
    path = "/api/public/otel/v1/traces" if dialect == "langfuse" else "/v1/traces"
    answer = doors.http.post(path, content=gzip.compress(body), headers=PROTOBUF | {"content-encoding": "gzip"})
    assert answer.status_code == 200 and not ExportTraceServiceResponse.FromString(answer.content).partial_success.rejected_spans
    stored = {one["event_type"]: one for one in doors.events()}
    assert set(stored) == {"llm.request", "llm.response"}
    request, response = stored["llm.request"], stored["llm.response"]
    assert request["data"]["prompt"] == "Be brief.\nWhat is 2+2?"
    assert request["data"]["parameters"] == {"temperature": 0.5, "max_tokens": 100}
    expected = {"status": "success", "latency_ms": 1500.0, "model": "gpt-4o-2024", "response": "Four."}
    expected |= {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
    assert {name: response["data"].get(name) for name in expected} == expected
    assert response["data"].get("cost") == (0.002 if dialect in ("langfuse", "litellm") else None), "a cost that is not known is not 0"
    assert response["data"].get("finish_reason") == (None if dialect == "langfuse" else "stop")
    assert request["correlation_id"] == response["correlation_id"] == "01" * 16 + "-" + "01" * 8
    metadata = response["metadata"]
    assert (metadata["user_id"], metadata["session_id"], metadata["environment"]) == ("u-1", "c-1", "prod")
    assert response["application_id"] == "chatbot" and response["source"] == {"service": "chatbot", "host": "pod-1", "version": "2.1"}


FAILURES = {
    "otel": {"attributes": {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", "error.type": "RateLimitError"}},
    "openinference": {
        "attributes": {"openinference.span.kind": "LLM", "llm.model_name": "gpt-4o"},
        "failed": True,
        "events": [("exception", {"exception.type": "openai.RateLimitError", "exception.message": "slow down"})],
    },
    "openinference, with what its library really knows": {
        "attributes": {"openinference.span.kind": "LLM", "llm.invocation_parameters": '{"model": "gpt-4o"}'},
        "failed": True,
        "message": "RateLimitError: Error code: 429 - slow down",
        "events": [("exception", {"exception.type": "openai.RateLimitError"})],
    },
}


def test_the_status_stands_for_an_error_without_a_name(doors: Doors) -> None:
    attributes = {"langfuse.observation.type": "generation", "langfuse.observation.level": "ERROR"}
    said = ("Error code: 503 - overloaded", "it took 429 s")
    spans = ({"attributes": attributes, "failed": True, "message": message} for message in said)
    doors.http.post("/v1/traces", content=export(*spans).SerializeToString(), headers=PROTOBUF).raise_for_status()
    assert [(one["data"]["error_type"], one["data"].get("status_code")) for one in doors.events()] == [("503", 503), ("unknown", None)]


NOW_NS = time.time_ns() // 1_000_000_000 * 1_000_000_000 - 5_000_000_000
STREAMS = {
    "openinference": ({"openinference.span.kind": "LLM"}, ["First Token Stream Event"], 250.0),
    "traceloop": ({"gen_ai.operation.name": "chat"}, ["gen_ai.content.completion.chunk"] * 3, 250.0),
    "langfuse": (
        {
            "langfuse.observation.type": "generation",
            "langfuse.observation.completion_start_time": f'"{datetime.fromtimestamp(NOW_NS / 1e9 + 0.5, UTC).isoformat()}"',
            "langfuse.observation.metadata.finish_reason": '"stop"',
        },
        [],
        500.0,
    ),
    "a clock that is off": (
        {"langfuse.observation.type": "generation", "langfuse.observation.completion_start_time": '"2026-01-01T00:00:00Z"'},
        [],
        None,
    ),
}


@pytest.mark.parametrize("encoding", ["protobuf", "json"])
@pytest.mark.parametrize("dialect", STREAMS)
def test_the_first_token_of_a_stream(doors: Doors, dialect: str, encoding: str) -> None:
    attributes, events, first_ms = STREAMS[dialect]
    span = {"attributes": attributes, "events": [(name, {}) for name in events], "start_ns": NOW_NS, "end_ns": NOW_NS + 1_500_000_000}
    copy = {"name": "raw_gen_ai_request", "attributes": {"llm.openai.messages": "[]"}}
    request = export(span, copy)
    body, headers = (
        (request.SerializeToString(), PROTOBUF) if encoding == "protobuf" else (hex_json(request), {"content-type": "application/json"})
    )
    doors.http.post("/v1/traces", content=body, headers=headers).raise_for_status()
    [stored] = doors.events()
    assert stored["data"].get("time_to_first_token_ms") == first_ms
    assert stored["data"].get("finish_reason") == ("stop" if first_ms == 500 else None)


@pytest.mark.parametrize("dialect", FAILURES)
def test_a_failed_call_is_an_error(doors: Doors, dialect: str) -> None:
    doors.http.post("/v1/traces", content=export(FAILURES[dialect]).SerializeToString(), headers=PROTOBUF).raise_for_status()
    [stored] = doors.events()
    assert stored["event_type"] == "llm.error"
    assert (stored["data"]["error_type"], stored["data"]["model"], stored["data"]["latency_ms"]) == ("RateLimitError", "gpt-4o", 1500.0)


def test_other_spans_are_traces_or_left_out_and_a_repeated_export_makes_the_same_ids(doors: Doors) -> None:
    request = export(
        {"name": "GET /", "attributes": {"http.request.method": "GET"}},
        {"name": "search", "attributes": {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"}},
    )
    for _ in range(2):
        doors.http.post("/v1/traces", content=request.SerializeToString(), headers=PROTOBUF).raise_for_status()
    first, second = doors.events()
    assert first == second and first["event_type"] == "llm.trace"
    assert first["data"]["name"] == "search" and first["data"]["duration_ms"] == 1500.0
    assert doors.metric('sentinel_gateway_events_total{door="otlp",outcome="ignored"}') == 2


def hex_json(request: Any) -> bytes:
    """OTLP JSON: protobuf's, with ids in hex."""
    document = json_format.MessageToDict(request)
    for group in document["resourceSpans"]:
        for scope in group["scopeSpans"]:
            for number, span in enumerate(scope["spans"]):
                span["traceId"], span["spanId"] = f"{number + 1:02x}" * 16, f"{number + 1:02x}" * 8
    return json.dumps(document).encode()


def test_json_and_grpc_say_the_same_as_protobuf(doors: Doors) -> None:
    request = export({"attributes": DIALECTS["otel"]}, FAILURES["openinference"])
    doors.http.post("/v1/traces", content=request.SerializeToString(), headers=PROTOBUF).raise_for_status()
    answer = doors.http.post("/v1/traces", content=hex_json(request), headers={"content-type": "application/json"})
    assert answer.status_code == 200 and answer.json() == {}
    with grpc.insecure_channel(f"127.0.0.1:{doors.running.ports['otlp-grpc']}") as channel:
        TraceServiceStub(channel).Export(request, compression=grpc.Compression.Gzip)
    stored = doors.events()
    assert len(stored) == 9
    by_id: dict[str, list[dict[str, Any]]] = {}
    for one in stored:
        by_id.setdefault(one["event_id"], []).append(one)
    assert [len(same) for same in by_id.values()] == [3, 3, 3]
    for first, second, third in by_id.values():
        assert first == second == third


def test_the_sdk_of_opentelemetry_by_grpc(doors: Doors) -> None:
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": "sdk"}))
    address = f"http://127.0.0.1:{doors.running.ports['otlp-grpc']}"
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(address, insecure=True)))
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("invoke_agent", attributes={"gen_ai.operation.name": "invoke_agent"}) as agent:
        with tracer.start_as_current_span(
            "chat gpt-4o", attributes={"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"}
        ) as call:
            call.set_attributes({"gen_ai.usage.input_tokens": 2, "gen_ai.usage.output_tokens": 3})
        trace_id = f"{agent.get_span_context().trace_id:032x}"
    provider.shutdown()
    stored = {one["event_type"]: one for one in doors.events()}
    assert set(stored) == {"llm.trace", "llm.response"}
    assert stored["llm.response"]["data"]["total_tokens"] == 5 and stored["llm.response"]["data"]["trace_id"] == trace_id
    assert stored["llm.response"]["data"]["parent_span_id"] == stored["llm.trace"]["data"]["span_id"]


def test_refused_spans_are_counted_and_the_others_kept(doors: Doors) -> None:
    request = export(
        {"attributes": DIALECTS["otel"]},
        {"attributes": DIALECTS["otel"], "end_ns": 5_000_000_000, "start_ns": 4_000_000_000},
        {"attributes": DIALECTS["otel"]},
    )
    answer = doors.http.post("/v1/traces", content=request.SerializeToString(), headers=PROTOBUF)
    partial = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert answer.status_code == 200 and partial.rejected_spans == 1
    assert "item 1: $.timestamp" in partial.error_message
    said = doors.http.post("/v1/traces", content=hex_json(request), headers={"content-type": "application/json"}).json()
    assert said["partialSuccess"]["rejectedSpans"] == "1" and "$.timestamp" in said["partialSuccess"]["errorMessage"]
    assert len({one["event_id"] for one in doors.events()}) >= 4


def test_logs_and_metrics(doors: Doors) -> None:
    logs = ExportLogsServiceRequest()
    group = logs.resource_logs.add()
    group.resource.attributes.extend(pairs({"service.name": "chatbot"}))
    records = group.scope_logs.add().log_records
    details = {"gen_ai.request.model": "gpt-4o", "gen_ai.input.messages": MESSAGES}
    now_ns = time.time_ns()
    records.add(
        event_name="gen_ai.client.inference.operation.details", time_unix_nano=now_ns, trace_id=b"\1" * 16, span_id=b"\1" * 8
    ).attributes.extend(pairs(details))
    records.add(event_name="gen_ai.evaluation.result", time_unix_nano=now_ns).attributes.extend(
        pairs({"gen_ai.evaluation.name": "relevance", "gen_ai.evaluation.score.value": 0.25})
    )
    records.add(time_unix_nano=now_ns, body=AnyValue(string_value="a line of a web server"))
    doors.http.post("/v1/logs", content=logs.SerializeToString(), headers=PROTOBUF).raise_for_status()

    metrics = ExportMetricsServiceRequest()
    group = metrics.resource_metrics.add()
    group.resource.attributes.extend(pairs({"service.name": "chatbot"}))
    found = group.scope_metrics.add().metrics
    duration = found.add(name="gen_ai.client.operation.duration", unit="s").histogram
    duration.aggregation_temporality = 1
    duration.data_points.add(count=4, sum=10.0, time_unix_nano=now_ns).attributes.extend(pairs({"gen_ai.request.model": "gpt-4o"}))
    found.add(name="gen_ai.client.active").gauge.data_points.add(as_int=7, time_unix_nano=now_ns)
    found.add(name="http.server.duration").gauge.data_points.add(as_double=1.0, time_unix_nano=now_ns)
    doors.http.post("/v1/metrics", content=metrics.SerializeToString(), headers=PROTOBUF).raise_for_status()
    stored = doors.events()
    values = {one["data"]["metric_name"]: one["data"] for one in stored if one["event_type"] == "llm.metric"}
    assert values["gen_ai.evaluation.relevance"]["value"] == 0.25
    assert values["gen_ai.client.operation.duration"] == {
        "metric_name": "gen_ai.client.operation.duration",
        "value": 2.5,
        "unit": "s",
        "model": "gpt-4o",
        "dimensions": {"gen_ai.request.model": "gpt-4o", "aggregation": "mean", "count": "4", "temporality": "delta"},
    }
    assert values["gen_ai.client.active"]["value"] == 7 and "http.server.duration" not in values
    [prompt] = [one for one in stored if one["event_type"] == "llm.request"]
    assert prompt["data"] == {"model": "gpt-4o", "prompt": "What is 2+2?"}


@pytest.mark.parametrize(
    ("body", "kind", "status", "said"),
    [
        (b"\xff\xff\xff", "application/x-protobuf", 400, b"ExportTraceServiceRequest"),
        (b"{", "application/json", 400, b"JSON"),
        (
            b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"xyz"}]}]}]}',
            "application/json",
            400,
            b"$.resourceSpans[0].scopeSpans[0].spans[0].traceId",
        ),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "application/json", 400, b"deep"),
        (b"{}", "text/plain", 415, b"application/x-protobuf"),
        (gzip.compress(b"\0" * 50_000_000), "application/x-protobuf", 413, b"4,000,000"),
    ],
    ids=["protobuf", "json", "trace id", "nesting", "type", "bomb"],
)
def test_bad_exports_are_refused_by_name(doors: Doors, body: bytes, kind: str, status: int, said: bytes) -> None:
    headers = {"content-type": kind} | ({"content-encoding": "gzip"} if body[:2] == b"\x1f\x8b" else {})
    answer = doors.http.post("/v1/traces", content=body, headers=headers)
    assert answer.status_code == status and said in answer.content, answer.content


def test_nested_values_of_protobuf_are_bounded(doors: Doors) -> None:
    value = any_value("end")
    for _ in range(40):
        value = AnyValue(array_value=ArrayValue(values=[value]))
    request = export({"attributes": DIALECTS["otel"]})
    request.resource_spans[0].scope_spans[0].spans[0].attributes.append(KeyValue(key="gen_ai.deep", value=value))
    answer = doors.http.post("/v1/traces", content=request.SerializeToString(), headers=PROTOBUF)
    assert answer.status_code == 400


def test_langfuse_and_bearer_credentials(open_doors: OpenDoors) -> None:
    doors = open_doors({"authentication": TOKENS})
    body = export({"attributes": DIALECTS["langfuse"]}, resource={"sentinel.tenant_id": "globex"}).SerializeToString()
    assert doors.http.post("/v1/traces", content=body, headers=PROTOBUF).status_code == 401
    answer = doors.http.post("/api/public/otel/v1/traces", content=body, headers=PROTOBUF, auth=("pk-public", TOKEN))
    assert answer.status_code == 200
    assert {one["tenant_id"] for one in doors.events()} == {"globex"}
