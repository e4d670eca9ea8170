"""From the application through the sidecar to a real gateway and Kafka: nothing changed on the way, nothing uncounted."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from schemas.pb.llm.sentinel.v1 import ingestion_pb2 as pb
from schemas.pb.llm.sentinel.v1.ingestion_pb2_grpc import TelemetryIngestionStub
from tests.support.doors import TOKEN, TOKENS, Doors, OpenDoors, event
from tests.support.kafka import free_port
from tests.support.sidecars import OpenSidecar, settings_of
from tests.support.waiting import wait_for

SLOW = {"batching": {"timeout": 3_600}}


def arrived(doors: Doors, count: int) -> list[dict[str, Any]]:
    return wait_for(doors.events, 30, f"{count} events in Kafka", until=lambda found: len(found) >= count, pause_s=0.1)


def ids(events: list[dict[str, Any]]) -> list[str]:
    return [one["event_id"] for one in events]


@pytest.mark.parametrize("compression", [True, False])
@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_events_arrive_as_they_were_sent(doors: Doors, open_sidecar: OpenSidecar, protocol: str, compression: bool) -> None:
    endpoint = doors.grpc if protocol == "grpc" else doors.url
    central = {"central": {"endpoint": endpoint, "protocol": protocol}, "compression": {"enabled": compression}}
    beside = open_sidecar(endpoint, forwarding=central)
    # Keys that nobody knows stay, and so does a line break, which is white space in JSON.
    sent = [event(vendor={"note": "ä€😀", "n": number}) for number in range(250)]
    assert beside.send(sent).accepted_count == 250
    assert sorted(arrived(doors, 250), key=lambda one: one["vendor"]["n"]) == sent
    assert beside.metric("sentinel_sidecar_forwarded_events_total") == 250 and beside.metric("sentinel_sidecar_batches_total") >= 3
    assert beside.books() == 0


def test_the_unix_socket_otlp_and_events_without_an_application(doors: Doors, open_sidecar: OpenSidecar, tmp_path: Path) -> None:
    socket = tmp_path / "run" / "sentinel.sock"
    beside = open_sidecar(
        doors.grpc,
        application={"id": "chat", "namespace": "shop"},
        ingestion={"local": {"grpc": {"port": 0, "unixSocket": str(socket)}}, "batching": {"timeout": 0.05}},
    )
    message = pb.TelemetryEvent(source=pb.EventSource(service="s", host="h"), metric=pb.MetricData(metric_name="m", value=1))
    message.timestamp.GetCurrentTime()
    with grpc.insecure_channel(f"unix:{socket}") as channel:
        stub = TelemetryIngestionStub(channel)
        answer = stub.StreamTelemetry(iter([message, pb.TelemetryEvent(), message]), timeout=20)
        assert (answer.accepted_count, answer.rejected_count) == (2, 1)
        assert "memory" in stub.StreamTelemetry(iter([message]), timeout=20).message, "no word of durable"
        assert stub.HealthCheck(pb.HealthCheckRequest()).status == pb.HealthCheckResponse.SERVING
    first = arrived(doors, 3)
    assert {one["application_id"] for one in first} == {"chat"} and {one["metadata"]["tags"]["namespace"] for one in first} == {"shop"}
    provider = TracerProvider(resource=Resource.create({"service.name": "otel-chat"}))
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"http://{beside.grpc}", insecure=True)))
    with provider.get_tracer("t").start_as_current_span("chat gpt-4o") as span:
        span.set_attributes({"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", "gen_ai.usage.output_tokens": 75})
    provider.shutdown()
    assert "otel-chat" in {one["application_id"] for one in arrived(doors, 4)}
    beside.close()
    assert not socket.exists()


def test_a_hundred_at_a_time_and_the_rest_when_it_stops(doors: Doors, open_sidecar: OpenSidecar) -> None:
    beside = open_sidecar(doors.grpc, ingestion=SLOW)
    for _ in range(5):
        beside.send([event() for _ in range(50)])
    assert len(arrived(doors, 200)) == 200
    wait_for(lambda: beside.metric("sentinel_sidecar_ring_events"), 10, "the rest to wait", until=lambda left: left == 50, pause_s=0.05)
    assert beside.metric("sentinel_sidecar_batches_total") == 2 and beside.books() == 0
    beside.close()
    assert len(doors.events()) == 250


def test_personal_data_leave_before_the_events_do(open_doors: OpenDoors, open_sidecar: OpenSidecar) -> None:
    """The gateway of this test leaves them in, and so do the rules that it tells: those of the sidecar's own file hold."""
    doors = open_doors({"privacy": {"action": "off"}})
    beside = open_sidecar(doors.grpc, detection={"detectors": {"source": "inline"}})
    beside.send([event(data={"status": "success", "latency_ms": 1, "response": "write to jane.doe@example.org"})])
    [stored] = arrived(doors, 1)
    assert "jane.doe" not in json.dumps(stored) and "[EMAIL]" in stored["data"]["response"]
    assert beside.metric('sentinel_sidecar_redacted_values_total{kind="email"}') == 1


def test_a_gateway_that_is_away_costs_what_the_ring_does_not_hold_and_no_more(open_doors: OpenDoors, open_sidecar: OpenSidecar) -> None:
    port = free_port()
    beside = open_sidecar(f"127.0.0.1:{port}")
    sent = [event() for _ in range(1_500)]
    for start in range(0, 1_500, 100):
        assert beside.send(sent[start : start + 100]).accepted_count == 100
    health = wait_for(
        lambda: beside.http.get("/health").json(), 20, "the trouble to be told", until=lambda told: told["status"] == "degraded"
    )
    assert "UNAVAILABLE" in health["centre"] and health["ring_events"] == 1_000
    assert beside.http.get("/health").status_code == beside.http.get("/livez").status_code == beside.http.get("/readyz").status_code == 200
    assert beside.metric('sentinel_sidecar_dropped_events_total{reason="oldest"}') == 500 and beside.books() == 0
    doors = open_doors(grpc_port=port)
    stored = ids(arrived(doors, 1_000))
    assert sorted(stored) == sorted(ids(sent[500:])), "the newest, each once"
    wait_for(
        lambda: beside.http.get("/health").json()["status"], 10, "the trouble to be over", until=lambda told: told == "ok", pause_s=0.05
    )
    assert beside.books() == 0 and beside.metric("sentinel_sidecar_retries_total") > 0


def test_with_the_policy_newest_the_application_is_told(open_sidecar: OpenSidecar) -> None:
    beside = open_sidecar(f"127.0.0.1:{free_port()}", ingestion={"buffer": {"size": 100, "dropPolicy": "newest"}})
    beside.send([event() for _ in range(90)])
    with pytest.raises(grpc.RpcError) as caught:
        beside.send([event() for _ in range(11)])
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    status = rpc_status.from_call(caught.value)
    assert status is not None and status.details[0].Is(error_details_pb2.RetryInfo.DESCRIPTOR)
    with pytest.raises(grpc.RpcError) as caught:
        beside.send([event() for _ in range(101)])
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED and "at most 100 events" in str(caught.value.details())
    assert beside.send([event() for _ in range(10)]).accepted_count == 10
    assert beside.http.get("/readyz").status_code == 503 and beside.http.get("/livez").status_code == 200
    assert beside.metric("sentinel_sidecar_turned_away_events_total") == 112 and beside.books() == 0


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_it_waits_as_long_as_the_gateway_asks(open_doors: OpenDoors, open_sidecar: OpenSidecar, protocol: str) -> None:
    doors = open_doors({"rateLimiting": {"maxEventsPerSecond": 100, "burstSize": 100}})
    endpoint = doors.grpc if protocol == "grpc" else doors.url
    beside = open_sidecar(endpoint, forwarding={"central": {"endpoint": endpoint, "protocol": protocol, "retry": {"enabled": False}}})
    sent = [event() for _ in range(300)]
    beside.send(sent)
    assert sorted(ids(arrived(doors, 300))) == sorted(ids(sent))
    limited = doors.metric(f'sentinel_gateway_events_total{{door="{protocol}",outcome="limited"}}')
    assert 100 <= limited <= 1_000, "without its patience it would have asked hundreds of times"
    assert beside.books() == 0


def test_tokens_and_tenants(open_doors: OpenDoors, open_sidecar: OpenSidecar, tmp_path: Path) -> None:
    doors = open_doors({"authentication": TOKENS})
    file = tmp_path / "token"
    file.write_text("nobody's token\n")
    beside = open_sidecar(doors.grpc, forwarding={"central": {"tokenFile": str(file)}})
    beside.send([event(tenant_id="globex"), event(tenant_id="initech"), event()])
    health = wait_for(
        lambda: beside.http.get("/health").json(), 20, "the trouble to be told", until=lambda told: told["status"] == "degraded"
    )
    assert "nobody has this token" in health["centre"] and beside.books() == 0 and doors.events() == []
    file.write_text(TOKEN)
    assert sorted(one["tenant_id"] for one in arrived(doors, 2)) == ["acme", "globex"]
    refused = 'sentinel_sidecar_dropped_events_total{reason="refused"}'
    wait_for(lambda: beside.metric(refused), 10, "the foreign tenant's event to be refused", until=lambda count: count == 1, pause_s=0.05)
    assert beside.books() == 0


def test_filters_and_sample(doors: Doors, open_sidecar: OpenSidecar) -> None:
    forwarding = {
        "filters": {"include": {"event_types": ["llm.response", "llm.error"]}, "exclude": {"metadata": {"internal": "true"}}},
        "sampling": {"ratio": 0.5},
    }
    beside = open_sidecar(doors.grpc, forwarding=forwarding, detection={"local": {"enabled": False}})
    wanted = [event(correlation_id=f"trace-{number // 2}") for number in range(200)]
    errors = [event(event_type="llm.error", data={"error_type": "timeout"}, correlation_id=f"trace-{number}") for number in range(20)]
    internal = [event(metadata={"tags": {"internal": "true"}}) for _ in range(7)]
    metrics = [event(event_type="llm.metric", data={"metric_name": "m", "value": 1}) for _ in range(5)]
    assert beside.send([*wanted, *errors, *internal, *metrics]).accepted_count == 232
    left_out = beside.metric("sentinel_sidecar_sampled_out_events_total")
    stored = arrived(doors, 220 - int(left_out))
    assert beside.metric("sentinel_sidecar_filtered_events_total") == 12
    assert 40 < left_out < 160 and left_out % 2 == 0
    assert {one["event_id"] for one in stored} >= set(ids(errors)), "errors are always sent on"
    traces = [one["correlation_id"] for one in stored if one["event_type"] == "llm.response"]
    assert all(traces.count(trace) == 2 for trace in traces), "whole traces"
    assert beside.books() == 0


def test_other_settings_without_a_restart(doors: Doors, open_sidecar: OpenSidecar) -> None:
    beside = open_sidecar(doors.grpc, ingestion=SLOW)
    beside.send([event() for _ in range(60)])
    changed = {
        "ingestion": {"batching": {"timeout": 0.05, "size": 10}, "buffer": {"size": 50}},
        "forwarding": {"filters": {"exclude": {"eventTypes": ["llm.response"]}}},
    }
    beside.use(settings_of(doors.grpc, changed))
    beside.send([event() for _ in range(5)])
    assert beside.metric("sentinel_sidecar_filtered_events_total") == 5
    assert beside.metric("sentinel_sidecar_ring_size") == 50
    assert beside.metric('sentinel_sidecar_dropped_events_total{reason="oldest"}') == 10
    beside.close()
    assert len(doors.events()) == 50


class Broken(grpc.GenericRpcHandler):
    """A gateway that breaks over everything that it is sent."""

    def __init__(self) -> None:
        self.calls = 0

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        def fail(request: bytes, context: grpc.ServicerContext) -> bytes:
            self.calls += 1
            context.abort(grpc.StatusCode.INTERNAL, "broken")
            return b""

        return grpc.unary_unary_rpc_method_handler(fail) if handler_call_details.method.endswith("BatchTelemetry") else None


def test_a_batch_that_breaks_the_gateway_is_given_up_and_the_next_one_tried(open_sidecar: OpenSidecar) -> None:
    broken = Broken()
    server = grpc.server(ThreadPoolExecutor(2), handlers=[broken])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        beside = open_sidecar(f"127.0.0.1:{port}", ingestion={"batching": {"size": 10, "timeout": 0.05}})
        beside.send([event() for _ in range(20)])
        failed = 'sentinel_sidecar_dropped_events_total{reason="failed"}'
        wait_for(lambda: beside.metric(failed), 20, "both batches to be given up", until=lambda count: count == 20, pause_s=0.05)
        assert broken.calls == 6, "three attempts each"
        assert beside.books() == 0
    finally:
        server.stop(None)


def test_events_that_are_too_large_for_the_gateway_go_by_themselves_or_not_at_all(open_doors: OpenDoors, open_sidecar: OpenSidecar) -> None:
    doors = open_doors({"protocols": {"grpc": {"maxReceiveMessageSize": 100_000}}})
    beside = open_sidecar(doors.grpc, forwarding={"compression": {"enabled": False}})
    large = [event(note="x" * 30_000) for _ in range(8)]
    beside.send([*large[:4], event(note="x" * 150_000), *large[4:]])
    assert sorted(ids(arrived(doors, 8))) == sorted(ids(large))
    refused = 'sentinel_sidecar_dropped_events_total{reason="refused"}'
    wait_for(lambda: beside.metric(refused), 10, "the largest to be refused", until=lambda count: count == 1, pause_s=0.05)
    assert beside.books() == 0


def test_bad_events_are_listed_to_the_application(doors: Doors, open_sidecar: OpenSidecar) -> None:
    beside = open_sidecar(doors.grpc)
    answer = beside.send([event(), event(data={"status": "success"}), event(application_id="a|b")])
    assert answer.accepted_count == 1
    assert [(one.index, one.field) for one in answer.rejections] == [(1, "$.data.latency_ms"), (2, "$.application_id")]
    assert len(arrived(doors, 1)) == 1


def test_the_gateway_lists_bad_events_in_json_too(doors: Doors) -> None:
    message = pb.TelemetryEvent(
        application_id="a", source=pb.EventSource(service="s", host="h"), metric=pb.MetricData(metric_name="m", value=1)
    )
    message.timestamp.GetCurrentTime()
    bad = event(data={"status": "success"})
    with grpc.insecure_channel(doors.grpc) as channel:
        request = pb.BatchTelemetryRequest(events=[message], json_events=[json.dumps(bad).encode(), b"{", json.dumps(event()).encode()])
        answer = TelemetryIngestionStub(channel).BatchTelemetry(request, timeout=20)
    assert answer.accepted_count == 2 and [one.index for one in answer.rejections] == [1, 2]
    assert len(doors.events()) == 2


def test_two_sidecars_beside_one_socket_are_two_errors(open_sidecar: OpenSidecar) -> None:
    first = open_sidecar("127.0.0.1:1")
    port = first.running.ports["grpc"]
    with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}"):
        open_sidecar("127.0.0.1:1", ingestion={"local": {"grpc": {"port": port}}})
