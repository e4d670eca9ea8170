"""llm.sentinel.v1.TelemetryIngestion and the three OTLP services over gRPC."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import grpc
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2_grpc as logs_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as trace_grpc

from schemas.pb.llm.sentinel.v1 import ingestion_pb2 as pb
from services.gateway.gateway import Gateway, Outcome
from services.gateway.grpc_errors import abort
from services.gateway.grpc_events import event_json
from services.gateway.otlp.http import LOGS, METRICS, TRACES, response_of
from services.gateway.otlp.intake import OtlpIntake
from services.gateway.records import GatewayError, Rejection
from services.gateway.tenants import Principal

STREAM_IDLE_S = 300.0
"""A stream that says nothing for so long is ended; a client opens another when it has something to say."""
STREAM_WINDOW = 1_000
STREAM_LISTED = 100
Context = grpc.aio.ServicerContext


def credentials(context: Any) -> tuple[str | None, str | None]:
    """What the call's metadata say of its sender: Authorization or x-api-key, and the tenant that it names."""
    metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
    return metadata.get("authorization") or metadata.get("x-api-key"), metadata.get("x-sentinel-tenant")


def principal(gateway: Gateway, context: Any) -> Principal:
    """The sender of a call; see Gateway.principal."""
    return gateway.principal(*credentials(context))


class Telemetry:
    """The product's own service. `kept` is what an answer says of accepted events."""

    kept = "every event is durable"

    def __init__(self, gateway: Gateway, as_json: Callable[[Any], bytes] = event_json) -> None:
        self._gateway, self._as_json = gateway, as_json

    async def BatchTelemetry(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Takes a batch; the answer lists what was refused."""
        try:
            who = principal(self._gateway, context)
            values = [*map(self._as_json, request.events), *request.json_events]
            accepted, rejections = await self._gateway.submit("grpc", values, who)
        except GatewayError as error:
            await abort(context, error)
        ids = [event.event_id for event in request.events]
        listed = [_rejection(one, ids[one.index] if one.index < len(ids) else one.event_id or "") for one in rejections]
        return pb.BatchTelemetryResponse(accepted_count=accepted, rejected_count=len(rejections), rejections=listed)

    async def StreamTelemetry(self, request_iterator: Any, context: Any) -> Any:  # noqa: N802
        """Takes events one by one. Each goes on its way at once; reading stops while a thousand wait to be durable."""
        stream = _Stream(self._gateway, self._as_json)
        try:
            who = principal(self._gateway, context)
            events = aiter(request_iterator)
            while True:
                try:
                    event = await asyncio.wait_for(anext(events), STREAM_IDLE_S)
                except StopAsyncIteration:
                    break
                except TimeoutError:
                    await context.abort(
                        grpc.StatusCode.DEADLINE_EXCEEDED, f"nothing came for {STREAM_IDLE_S:g} s; what came before is durable"
                    )
                await stream.add(event, who)
            await stream.finish()
        except GatewayError as error:
            await abort(context, error)
        finally:
            stream.leave()
        return stream.response(self.kept)

    async def HealthCheck(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Whether events are taken, and where they go."""
        journal = self._gateway.journal
        if not journal.takes_events:
            return pb.HealthCheckResponse(status=pb.HealthCheckResponse.NOT_SERVING, message="the buffer is full")
        if journal.spilling:
            return pb.HealthCheckResponse(status=pb.HealthCheckResponse.BUFFERING, message="Kafka is slow or gone: events go to disk")
        return pb.HealthCheckResponse(status=pb.HealthCheckResponse.SERVING, message="events go to Kafka")


class _Stream:
    """One stream's events on their way."""

    def __init__(self, gateway: Gateway, as_json: Callable[[Any], bytes]) -> None:
        self._gateway, self._as_json = gateway, as_json
        self._waiting: deque[tuple[int, str, asyncio.Task[Outcome]]] = deque()
        self._next = 0
        self._accepted = 0
        self._rejected = 0
        self._listed: list[Any] = []

    async def add(self, event: Any, who: Principal) -> None:
        task = asyncio.create_task(self._gateway.submit("grpc", [self._as_json(event)], who))
        self._waiting.append((self._next, event.event_id, task))
        self._next += 1
        while self._waiting and (len(self._waiting) > STREAM_WINDOW or self._waiting[0][2].done()):
            await self._take()

    async def finish(self) -> None:
        while self._waiting:
            await self._take()

    def leave(self) -> None:
        """The client is gone or was refused: what is on its way arrives; nobody asks any more."""
        for _, _, task in self._waiting:
            task.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _take(self) -> None:
        index, event_id, task = self._waiting.popleft()
        accepted, rejections = await task
        self._accepted += accepted
        self._rejected += len(rejections)
        if rejections and len(self._listed) < STREAM_LISTED:
            self._listed += [_rejection(one, event_id, index) for one in rejections]

    def response(self, kept: str) -> Any:
        text = kept if not self._rejected else f"{self._rejected:,} events were refused"
        return pb.StreamResponse(
            accepted=not self._rejected,
            message=text,
            accepted_count=self._accepted,
            rejected_count=self._rejected,
            rejections=self._listed,
        )


def _rejection(one: Rejection, event_id: str, index: int | None = None) -> Any:
    return pb.EventRejection(
        index=one.index if index is None else index,
        event_id=event_id,
        field=one.field,
        expected=one.expected,
        found=one.found,
        reason=one.reason,
    )


class _Export:
    """One OTLP service; the three differ in their signal."""

    signal = TRACES

    def __init__(self, intake: OtlpIntake) -> None:
        self._intake = intake

    async def Export(self, request: Any, context: Any) -> Any:  # noqa: N802
        """One export."""
        try:
            who = principal(self._intake.gateway, context)
            partial = await self._intake.take(self.signal.from_protobuf(request), self.signal.events_of, who)
        except GatewayError as error:
            await abort(context, error)
        return response_of(self.signal, partial)


class TraceExport(_Export, trace_grpc.TraceServiceServicer):
    """Spans."""


class LogsExport(_Export, logs_grpc.LogsServiceServicer):
    """Log records."""

    signal = LOGS


class MetricsExport(_Export, metrics_grpc.MetricsServiceServicer):
    """Metrics."""

    signal = METRICS
