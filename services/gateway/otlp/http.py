"""OTLP over HTTP: protobuf and JSON, gzip, on the paths of the specification and on Langfuse's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs_service
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_service
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_service

from services.gateway.http_body import read_body
from services.gateway.otlp import from_json, from_protobuf, mapping
from services.gateway.otlp.intake import OtlpIntake, Partial
from services.gateway.problems import Answer, problem_of
from services.gateway.records import GatewayError, MalformedError, UnsupportedTypeError

PROTOBUF = "application/x-protobuf"
JSON = "application/json"


class _Signal(NamedTuple):
    name: str
    request: Any
    response: Any
    from_protobuf: Callable[[Any], Any]
    from_json: Callable[[bytes], Any]
    events_of: Callable[..., list[dict[str, Any]]]
    rejected_field: str


TRACES = _Signal(
    "traces",
    trace_service.ExportTraceServiceRequest,
    trace_service.ExportTraceServiceResponse,
    from_protobuf.spans,
    from_json.spans,
    mapping.span_events,
    "rejected_spans",
)
LOGS = _Signal(
    "logs",
    logs_service.ExportLogsServiceRequest,
    logs_service.ExportLogsServiceResponse,
    from_protobuf.logs,
    from_json.logs,
    mapping.log_events,
    "rejected_log_records",
)
METRICS = _Signal(
    "metrics",
    metrics_service.ExportMetricsServiceRequest,
    metrics_service.ExportMetricsServiceResponse,
    from_protobuf.points,
    from_json.points,
    mapping.point_events,
    "rejected_data_points",
)
_PATHS = {f"/v1/{signal.name}": signal for signal in (TRACES, LOGS, METRICS)}
_PATHS["/api/public/otel/v1/traces"] = TRACES
_GRPC_CODES = {400: 3, 401: 16, 403: 7, 408: 4, 413: 3, 415: 3, 429: 8, 503: 14}


class OtlpHttp:
    """Answers the OTLP paths."""

    def __init__(self, intake: OtlpIntake, max_body_bytes: int) -> None:
        self._intake, self._max_body_bytes = intake, max_body_bytes

    def serves(self, path: str) -> bool:
        """Whether the path is one of OTLP's."""
        return path in _PATHS

    async def answer(self, path: str, headers: dict[bytes, bytes], receive: Any) -> Answer:
        """One export. Trouble is told in the encoding of the request: a Status in protobuf, problem+json in JSON."""
        from services.gateway.http_door import credentials, media_type

        kind = media_type(headers)
        try:
            if kind not in (PROTOBUF, JSON):
                raise UnsupportedTypeError(f"content type {kind[:100]!r} is not read: expected {PROTOBUF} or {JSON}", field="content-type")
            who = self._intake.gateway.principal(*credentials(headers))
            body = await read_body(receive, headers, self._max_body_bytes)
            signal = _PATHS[path]
            items = signal.from_json(body) if kind == JSON else signal.from_protobuf(parsed(signal, body))
            partial = await self._intake.take(items, signal.events_of, who)
        except GatewayError as error:
            answer = problem_of(error)
            return answer if kind == JSON else _as_status(answer, error)
        return Answer(200, ((b"content-type", kind.encode()),), _success(signal, partial, kind))


def parsed(signal: _Signal, body: bytes) -> Any:
    """The protobuf message. Raises MalformedError."""
    try:
        return signal.request.FromString(body)
    except DecodeError:
        raise MalformedError(f"the body is no {signal.request.__name__}", field="(body)") from None


def response_of(signal: _Signal, partial: Partial) -> Any:
    """The response message; `partial_success` is set only when something was refused."""
    response = signal.response()
    if partial.rejected:
        setattr(response.partial_success, signal.rejected_field, partial.rejected)
        response.partial_success.error_message = partial.message
    return response


def _success(signal: _Signal, partial: Partial, kind: str) -> bytes:
    if kind == PROTOBUF:
        encoded: bytes = response_of(signal, partial).SerializeToString()
        return encoded
    if not partial.rejected:
        return b"{}"
    first, _, rest = signal.rejected_field.partition("_")
    name = first + "".join(part.capitalize() for part in rest.split("_"))
    # 64-bit numbers are text in protobuf's JSON.
    return msgspec.json.encode({"partialSuccess": {name: str(partial.rejected), "errorMessage": partial.message}})


def _as_status(answer: Answer, error: GatewayError) -> Answer:
    text = f"{error.field}: {error.detail}" if error.field else error.detail
    body: bytes = Status(code=_GRPC_CODES.get(answer.status, 2), message=text).SerializeToString()
    headers = tuple(header for header in answer.headers if header[0] != b"content-type")
    return Answer(answer.status, ((b"content-type", PROTOBUF.encode()), *headers), body)
