"""What both encodings of OTLP are read into."""

from __future__ import annotations

from typing import Any, NamedTuple


class SpanEvent(NamedTuple):
    """Something that happened during a span, at `time_ns`."""

    name: str
    attributes: dict[str, Any]
    time_ns: int


class SpanItem(NamedTuple):
    """One span. Ids in lower-case hex, times in epoch nanoseconds."""

    resource: dict[str, Any]
    attributes: dict[str, Any]
    name: str
    trace_id: str
    span_id: str
    parent_span_id: str
    start_ns: int
    end_ns: int
    failed: bool
    message: str
    events: list[SpanEvent]


class LogItem(NamedTuple):
    """One log record; `body` as plain values."""

    resource: dict[str, Any]
    attributes: dict[str, Any]
    event_name: str
    body: Any
    trace_id: str
    span_id: str
    time_ns: int


class PointItem(NamedTuple):
    """One data point. Of a histogram or summary, `value` is the mean and `samples` how many it stands for; None without any."""

    resource: dict[str, Any]
    attributes: dict[str, Any]
    name: str
    unit: str
    time_ns: int
    value: float | None
    samples: int | None
    temporality: str | None
