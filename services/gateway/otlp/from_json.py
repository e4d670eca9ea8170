"""Reads OTLP JSON into items. The encoding is protobuf's JSON with hex ids, numbers as text or numbers, and unknown keys ignored (OTLP specification)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from services.gateway.otlp.from_protobuf import MAX_DEPTH
from services.gateway.otlp.items import LogItem, PointItem, SpanItem
from services.gateway.otlp.items import SpanEvent as SpanEventItem
from services.gateway.records import MalformedError

TraceId = Annotated[str, Meta(pattern="^(?:[0-9a-fA-F]{32})?$")]
SpanId = Annotated[str, Meta(pattern="^(?:[0-9a-fA-F]{16})?$")]
Whole = int | Annotated[str, Meta(pattern="^-?[0-9]{1,20}$")]
Number = float | str


class AnyValue(Struct, rename="camel"):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: Whole | None = None
    double_value: Number | None = None
    bytes_value: str | None = None
    array_value: Array | None = None
    kvlist_value: KeyValues | None = None


class Array(Struct):
    values: list[AnyValue] = []


class KeyValue(Struct):
    key: str
    value: AnyValue | None = None


class KeyValues(Struct):
    values: list[KeyValue] = []


class Resource(Struct):
    attributes: list[KeyValue] = []


class Status(Struct):
    code: int | str = 0
    message: str = ""


class SpanEvent(Struct, rename="camel"):
    name: str = ""
    time_unix_nano: Whole = 0
    attributes: list[KeyValue] = []


class Span(Struct, rename="camel"):
    name: str = ""
    trace_id: TraceId = ""
    span_id: SpanId = ""
    parent_span_id: SpanId = ""
    start_time_unix_nano: Whole = 0
    end_time_unix_nano: Whole = 0
    status: Status | None = None
    attributes: list[KeyValue] = []
    events: list[SpanEvent] = []


class ScopeSpans(Struct):
    spans: list[Span] = []


class ResourceSpans(Struct, rename="camel"):
    resource: Resource | None = None
    scope_spans: list[ScopeSpans] = []


class Traces(Struct, rename="camel"):
    resource_spans: list[ResourceSpans] = []


class LogRecord(Struct, rename="camel"):
    time_unix_nano: Whole = 0
    observed_time_unix_nano: Whole = 0
    event_name: str = ""
    body: AnyValue | None = None
    attributes: list[KeyValue] = []
    trace_id: TraceId = ""
    span_id: SpanId = ""


class ScopeLogs(Struct, rename="camel"):
    log_records: list[LogRecord] = []


class ResourceLogs(Struct, rename="camel"):
    resource: Resource | None = None
    scope_logs: list[ScopeLogs] = []


class Logs(Struct, rename="camel"):
    resource_logs: list[ResourceLogs] = []


class Point(Struct, rename="camel"):
    attributes: list[KeyValue] = []
    time_unix_nano: Whole = 0
    as_double: Number | None = None
    as_int: Whole | None = None
    count: Whole | None = None
    sum: Number | None = None


class Data(Struct, rename="camel"):
    data_points: list[Point] = []
    aggregation_temporality: int | str = 0


class Metric(Struct, rename="camel"):
    name: str = ""
    unit: str = ""
    gauge: Data | None = None
    sum: Data | None = None
    histogram: Data | None = None
    exponential_histogram: Data | None = None
    summary: Data | None = None


class ScopeMetrics(Struct):
    metrics: list[Metric] = []


class ResourceMetrics(Struct, rename="camel"):
    resource: Resource | None = None
    scope_metrics: list[ScopeMetrics] = []


class Metrics(Struct, rename="camel"):
    resource_metrics: list[ResourceMetrics] = []


_traces, _logs, _metrics = msgspec.json.Decoder(Traces), msgspec.json.Decoder(Logs), msgspec.json.Decoder(Metrics)
_TEMPORALITY = {1: "delta", 2: "cumulative", "AGGREGATION_TEMPORALITY_DELTA": "delta", "AGGREGATION_TEMPORALITY_CUMULATIVE": "cumulative"}


def spans(body: bytes) -> Iterator[SpanItem]:
    """Of the JSON of an ExportTraceServiceRequest. Raises MalformedError that names the place."""
    for group in _decoded(_traces, body).resource_spans:
        resource = _resource(group.resource)
        for scope in group.scope_spans:
            for span in scope.spans:
                status = span.status or Status()
                yield SpanItem(
                    resource,
                    _attributes(span.attributes),
                    span.name,
                    span.trace_id.lower(),
                    span.span_id.lower(),
                    span.parent_span_id.lower(),
                    int(span.start_time_unix_nano),
                    int(span.end_time_unix_nano),
                    status.code in (2, "STATUS_CODE_ERROR"),
                    status.message,
                    [SpanEventItem(one.name, _attributes(one.attributes), int(one.time_unix_nano)) for one in span.events],
                )


def logs(body: bytes) -> Iterator[LogItem]:
    """Of the JSON of an ExportLogsServiceRequest."""
    for group in _decoded(_logs, body).resource_logs:
        resource = _resource(group.resource)
        for scope in group.scope_logs:
            for record in scope.log_records:
                attributes = _attributes(record.attributes)
                yield LogItem(
                    resource,
                    attributes,
                    record.event_name or str(attributes.get("event.name", "")),
                    _value(record.body, 0),
                    record.trace_id.lower(),
                    record.span_id.lower(),
                    int(record.time_unix_nano) or int(record.observed_time_unix_nano),
                )


def points(body: bytes) -> Iterator[PointItem]:
    """Of the JSON of an ExportMetricsServiceRequest."""
    for group in _decoded(_metrics, body).resource_metrics:
        resource = _resource(group.resource)
        for scope in group.scope_metrics:
            for metric in scope.metrics:
                data = metric.gauge or metric.sum or metric.histogram or metric.exponential_histogram or metric.summary
                for point in data.data_points if data is not None else ():
                    value, count = _measured(point)
                    temporality = _TEMPORALITY.get(data.aggregation_temporality) if data is not None else None
                    time_ns = int(point.time_unix_nano)
                    yield PointItem(resource, _attributes(point.attributes), metric.name, metric.unit, time_ns, value, count, temporality)


def _measured(point: Point) -> tuple[float | None, int | None]:
    if point.count is not None:
        count = int(point.count)
        return (_number(point.sum) / count if count and point.sum is not None else None), count
    if point.as_int is not None:
        return float(int(point.as_int)), None
    return (_number(point.as_double) if point.as_double is not None else None), None


def _number(value: Number) -> float:
    try:
        return float(value)
    except ValueError:
        raise MalformedError(f"expected a number, got {value!r:.100}", field="asDouble") from None


def _decoded(decoder: Any, body: bytes) -> Any:
    try:
        return decoder.decode(body)
    except RecursionError:
        raise MalformedError("the document is nested too deeply", field="(body)") from None
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `")
        raise MalformedError(text, field=path.removesuffix("`") or "$") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedError(f"the body is not JSON: {error}", field="(body)") from None


def _resource(resource: Resource | None) -> dict[str, Any]:
    return _attributes(resource.attributes) if resource is not None else {}


def _attributes(pairs: list[KeyValue]) -> dict[str, Any]:
    return {pair.key: _value(pair.value, 0) for pair in pairs}


def _value(value: AnyValue | None, depth: int) -> Any:
    if value is None:
        return None
    if value.string_value is not None:
        return value.string_value
    if value.int_value is not None:
        return int(value.int_value)
    if value.double_value is not None:
        return _number(value.double_value)
    if depth > MAX_DEPTH:
        raise MalformedError(f"attribute values are nested more than {MAX_DEPTH} levels deep", field="attributes")
    if value.array_value is not None:
        return [_value(item, depth + 1) for item in value.array_value.values]
    if value.kvlist_value is not None:
        return {pair.key: _value(pair.value, depth + 1) for pair in value.kvlist_value.values}
    return value.bool_value if value.bool_value is not None else value.bytes_value
