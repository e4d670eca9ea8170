"""Reads OTLP protobuf messages into items."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from services.gateway.otlp.items import LogItem, PointItem, SpanEvent, SpanItem
from services.gateway.records import MalformedError

_ERROR = 2
_TEMPORALITY = {1: "delta", 2: "cumulative"}
MAX_DEPTH = 32


def spans(request: Any) -> Iterator[SpanItem]:
    """Of an ExportTraceServiceRequest."""
    for group in request.resource_spans:
        resource = _attributes(group.resource.attributes)
        for scope in group.scope_spans:
            for span in scope.spans:
                yield SpanItem(
                    resource,
                    _attributes(span.attributes),
                    span.name,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                    span.status.code == _ERROR,
                    span.status.message,
                    [SpanEvent(event.name, _attributes(event.attributes), event.time_unix_nano) for event in span.events],
                )


def logs(request: Any) -> Iterator[LogItem]:
    """Of an ExportLogsServiceRequest."""
    for group in request.resource_logs:
        resource = _attributes(group.resource.attributes)
        for scope in group.scope_logs:
            for record in scope.log_records:
                attributes = _attributes(record.attributes)
                yield LogItem(
                    resource,
                    attributes,
                    record.event_name or str(attributes.get("event.name", "")),
                    _value(record.body, 0),
                    record.trace_id.hex(),
                    record.span_id.hex(),
                    record.time_unix_nano or record.observed_time_unix_nano,
                )


def points(request: Any) -> Iterator[PointItem]:
    """Of an ExportMetricsServiceRequest."""
    for group in request.resource_metrics:
        resource = _attributes(group.resource.attributes)
        for scope in group.scope_metrics:
            for metric in scope.metrics:
                kind = metric.WhichOneof("data")
                if kind is None:
                    continue
                data = getattr(metric, kind)
                temporality = _TEMPORALITY.get(getattr(data, "aggregation_temporality", 0))
                for point in data.data_points:
                    value, count = _measured(kind, point)
                    yield PointItem(
                        resource, _attributes(point.attributes), metric.name, metric.unit, point.time_unix_nano, value, count, temporality
                    )


def _measured(kind: str, point: Any) -> tuple[float | None, int | None]:
    if kind in ("gauge", "sum"):
        which = point.WhichOneof("value")
        return (float(getattr(point, which)) if which else None), None
    return (point.sum / point.count if point.count else None), point.count


def _attributes(pairs: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pair in pairs:
        value = pair.value
        kind = value.WhichOneof("value")
        # The common kind first: most attributes are text.
        if kind == "string_value":
            found[pair.key] = value.string_value
        elif kind is not None:
            found[pair.key] = _value(value, 0)
    return found


def _value(value: Any, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise MalformedError(f"attribute values are nested more than {MAX_DEPTH} levels deep", field="attributes")
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    found = getattr(value, kind)
    if kind == "array_value":
        return [_value(item, depth + 1) for item in found.values]
    if kind == "kvlist_value":
        return {pair.key: _value(pair.value, depth + 1) for pair in found.values}
    return found.hex() if kind == "bytes_value" else found
