"""The telemetry event as it is decoded at rate (specification, Data Schemas 1; the public form is `sentinel.contract`).

One flat `Data` serves the five event types: deciding the type first would mean decoding the payload twice. What each type requires is checked by
`sentinel.events.decode` from `REQUIRED`. Unknown keys are skipped unread: they are the producer's own.

`gc=False`: a decoded event cannot hold a cycle, and a batch of thousands that the collector walks again and again costs as much as decoding it.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Count = Annotated[int, Meta(ge=0, le=1_000_000_000)]
Quantity = Annotated[float, Meta(ge=0, le=1e9)]
ZonedTime = Annotated[datetime, Meta(tz=True)]
EventType = Literal["llm.request", "llm.response", "llm.error", "llm.metric", "llm.trace"]

PULSE = b"sentinel-pulse"
"""The value of a record that only carries time (`services.pulse`): no event, and nobody's mistake."""

MAX_EVENT_BYTES = 1_048_576
"""The largest event that is decoded (the HTTP door's body limit); a larger one goes to the DLQ whole."""


class Source(msgspec.Struct, gc=False):
    service: str
    host: str
    version: str | None = None


class Parameters(msgspec.Struct, gc=False):
    temperature: float | None = None
    max_tokens: int | None = None
    top_p: float | None = None


class Data(msgspec.Struct, gc=False):
    """The payloads of all event types, every field optional. Latency and duration in ms, cost in USD."""

    model: str | None = None
    prompt: str | None = None
    prompt_tokens: Count | None = None
    parameters: Parameters | None = None
    status: str | None = None
    response: str | None = None
    completion_tokens: Count | None = None
    total_tokens: Count | None = None
    latency_ms: Quantity | None = None
    cost: Quantity | None = None
    cost_source: str | None = None
    cost_reason: str | None = None
    model_sent: str | None = None
    finish_reason: Literal["stop", "length", "content_filter", "error"] | None = None
    metric_name: str | None = None
    value: float | None = None
    unit: str | None = None
    dimensions: dict[str, str] | None = None
    error_type: str | None = None
    message: str | None = None
    status_code: int | None = None
    retryable: bool | None = None
    trace_id: str | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    name: str | None = None
    duration_ms: Quantity | None = None


class Metadata(msgspec.Struct, gc=False):
    user_id: str | None = None
    session_id: str | None = None
    environment: Literal["dev", "staging", "prod"] | None = None
    tags: dict[str, str] | None = None


class Event(msgspec.Struct, gc=False):
    """One telemetry event. `event_id` may be missing: then it is derived from the record's place in Kafka."""

    timestamp: ZonedTime
    source: Source
    event_type: EventType
    application_id: str
    data: Data
    event_id: uuid.UUID | None = None
    tenant_id: str = "default"
    correlation_id: str | None = None
    metadata: Metadata | None = None


REQUIRED: dict[str, tuple[str, ...]] = {
    "llm.request": ("model", "prompt"),
    "llm.response": ("status", "latency_ms"),
    "llm.error": ("error_type",),
    "llm.metric": ("metric_name", "value"),
    "llm.trace": ("trace_id", "span_id", "name", "duration_ms"),
}
RESPONSE_STATUSES = frozenset(("success", "error", "timeout"))
UNKNOWN_MODEL = "unknown"
