"""A client of the gateway in a process of its own: `python -m bench.gateway_client KIND URL SECONDS CONNECTIONS BATCH [RATE]`; prints one JSON line.

Bodies are made beforehand and sent again and again, so that the client costs as little as it can beside the gateway. Without RATE each connection sends its
next batch when the last one is acknowledged; with it, batches start on a fixed schedule and a latency counts from the time at which its batch was due.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import grpc
import orjson
import uvloop
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench.figures import summary
from schemas.pb.llm.sentinel.v1 import ingestion_pb2 as pb
from services.traffic.bulk import bulk_events

BODIES = 40
EVENT_BYTES = 900
KEYS = 20
SendOne = Callable[[int], Awaitable[str]]
"""Sends the body of that number; the status of the answer."""
TAKEN = ("200", "202", "OK")


def raw_batches(batch: int, bodies: int = BODIES, seed: int = 1) -> list[list[bytes]]:
    """Event JSON in batches."""
    events = bulk_events(
        bodies * batch, seed=seed, keys=KEYS, event_bytes=EVENT_BYTES, start_ms=int(time.time() * 1000) - 60_000, rate=1_000_000
    )
    values = [value for _, _, value in events]
    return [values[at : at + batch] for at in range(0, len(values), batch)]


def protobuf_batch(values: list[bytes]) -> bytes:
    """The same events as a BatchTelemetryRequest."""
    request = pb.BatchTelemetryRequest()
    for value in values:
        document = orjson.loads(value)
        data, metadata = document["data"], document["metadata"]
        event = request.events.add(
            event_id=document["event_id"], application_id=document["application_id"], tenant_id=document["tenant_id"]
        )
        event.correlation_id = document["correlation_id"]
        event.timestamp.FromJsonString(document["timestamp"])
        event.source.CopyFrom(pb.EventSource(**document["source"]))
        if "prompt" in data:
            event.request.CopyFrom(pb.RequestData(**data | {"parameters": pb.Parameters(**data["parameters"])}))
        else:
            event.response.CopyFrom(pb.ResponseData(**{"cost_usd" if name == "cost" else name: value for name, value in data.items()}))
        for name in ("user_id", "session_id", "environment"):
            event.metadata[name] = metadata[name]
        event.metadata.update(metadata["tags"])
    encoded: bytes = request.SerializeToString()
    return encoded


def span_batch(values: list[bytes]) -> bytes:
    """A span for each event: a model call with its prompt and answer."""
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = "bench"
    spans = group.scope_spans.add().spans
    now_ns = time.time_ns()
    for number, value in enumerate(values):
        data = orjson.loads(value)["data"]
        span = spans.add(name="chat gpt-4o", trace_id=number.to_bytes(16, "big"), span_id=(number + 1).to_bytes(8, "big"))
        span.start_time_unix_nano, span.end_time_unix_nano = now_ns - 10**9, now_ns
        text = data.get("prompt") or data["response"]
        for name, content in (
            ("gen_ai.operation.name", "chat"),
            ("gen_ai.provider.name", "openai"),
            ("gen_ai.request.model", "gpt-4o"),
            ("gen_ai.response.model", "gpt-4o"),
            ("gen_ai.input.messages", json.dumps([{"role": "user", "parts": [{"type": "text", "content": text[:250]}]}])),
            ("gen_ai.output.messages", json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": text[250:]}]}])),
        ):
            span.attributes.add(key=name).value.string_value = content
        for name, count in (("gen_ai.usage.input_tokens", 100), ("gen_ai.usage.output_tokens", 50), ("gen_ai.request.max_tokens", 500)):
            span.attributes.add(key=name).value.int_value = count
    encoded: bytes = request.SerializeToString()
    return encoded


async def http_sender(url: str, path: str, content_type: str, bodies: list[bytes], token: str | None = None) -> SendOne:
    """A connection that posts bodies."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    who = f"authorization: Bearer {token}\r\n" if token else ""
    head = f"POST {path} HTTP/1.1\r\nhost: bench\r\n{who}content-type: {content_type}\r\ncontent-length: "
    requests = [f"{head}{len(body)}\r\n\r\n".encode() + body for body in bodies]

    async def send(number: int) -> str:
        writer.write(requests[number % len(requests)])
        answer = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length"))
        await reader.readexactly(length)
        return answer[9:12].decode()

    return send


async def grpc_sender(address: str, bodies: list[bytes], token: str | None = None) -> SendOne:
    """A channel that calls BatchTelemetry."""
    channel = grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
    call = channel.unary_unary("/llm.sentinel.v1.TelemetryIngestion/BatchTelemetry")
    metadata = (("authorization", f"Bearer {token}"),) if token else ()

    async def send(number: int) -> str:
        try:
            answer = await call(bodies[number % len(bodies)], metadata=metadata)
        except grpc.aio.AioRpcError as error:
            return error.code().name
        return "OK" if not pb.BatchTelemetryResponse.FromString(answer).rejected_count else "rejections"

    return send


async def senders(kind: str, url: str, connections: int, batch: int) -> list[SendOne]:
    """One sender a connection."""
    batches = raw_batches(batch)
    if kind == "grpc":
        bodies = [protobuf_batch(values) for values in batches]
        return [await grpc_sender(url, bodies) for _ in range(connections)]
    if kind == "otlp":
        bodies = [span_batch(values) for values in batches]
        return [await http_sender(url, "/v1/traces", "application/x-protobuf", bodies) for _ in range(connections)]
    bodies = [b"\n".join(values) for values in batches]
    return [await http_sender(url, "/api/v1/telemetry/events", "application/x-ndjson", bodies) for _ in range(connections)]


async def run(kind: str, url: str, seconds: float, connections: int, batch: int, rate: float) -> dict[str, object]:
    """Sends for the time; what was acknowledged, and how long it took. The first fifth warms up and does not count."""
    ready = await senders(kind, url, connections, batch)
    latencies: list[float] = []
    began = time.perf_counter()
    counted_from, until = began + seconds / 5, began + seconds

    async def work(place: int, send: SendOne) -> None:
        number = place
        while True:
            due = began + number * batch / rate if rate else time.perf_counter()
            if due > until:
                return
            wait = due - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            status = await send(number)
            if status not in TAKEN:
                raise SystemExit(f"the gateway answered {status}")
            ended = time.perf_counter()
            if due >= counted_from and ended <= until:
                latencies.append((ended - due) * 1000)
            number += connections

    await asyncio.gather(*(work(place, send) for place, send in enumerate(ready)))
    return {"events_per_s": round(len(latencies) * batch / (until - counted_from)), "ack_ms": summary(latencies)}


def main() -> None:
    """See the module."""
    kind, url, seconds, connections, batch = sys.argv[1:6]
    rate = float(sys.argv[6]) if len(sys.argv) > 6 else 0.0
    print(json.dumps(uvloop.run(run(kind, url, float(seconds), int(connections), int(batch), rate))))


if __name__ == "__main__":
    main()
