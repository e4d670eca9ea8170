"""Telemetry event (specification, Data Schemas 1), with payloads of our own for `llm.error` and `llm.trace`.

Differences from the specification: `event_id` may be missing (the door assigns one), `llm.response` may carry `model` and `prompt_tokens`,
and the event type decides which payload is expected. Latencies and durations are milliseconds, costs US dollars.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, RootModel

from sentinel.contract.types import Amount, Count, Integer, OpenModel, Timestamp, Uuid


class Source(OpenModel):
    """Who sent the event."""

    service: str = Field(examples=["llm-observatory"])
    host: str = Field(examples=["obs-worker-01"])
    version: str | None = Field(default=None, examples=["1.2.3"])


class Metadata(OpenModel):
    """Additional context; further keys are the producer's own."""

    user_id: str | None = None
    session_id: str | None = None
    environment: Literal["dev", "staging", "prod"] | None = None
    tags: dict[str, str] | None = None


class Parameters(OpenModel):
    """Sampling parameters of a request."""

    temperature: float | None = None
    max_tokens: Integer | None = None
    top_p: float | None = None


class RequestData(OpenModel):
    """A prompt on its way to a model."""

    model: str = Field(examples=["gpt-4"])
    prompt: str = Field(description="User prompt (may be hashed for privacy)")
    prompt_tokens: Count | None = Field(default=None, examples=[150])
    parameters: Parameters | None = None
    context: dict[str, Any] | None = Field(default=None, description="Additional request context")


class ResponseData(OpenModel):
    """A finished call."""

    status: Literal["success", "error", "timeout"]
    latency_ms: Amount = Field(description="Milliseconds", examples=[1234.56])
    model: str | None = Field(
        default=None, description="When left out, the model of the request with the same correlation id", examples=["gpt-4"]
    )
    response: str | None = Field(default=None, description="LLM response (may be hashed)")
    prompt_tokens: Count | None = Field(default=None, examples=[150])
    completion_tokens: Count | None = Field(default=None, examples=[75])
    total_tokens: Count | None = Field(default=None, examples=[225])
    cost: Amount | None = Field(default=None, description="Estimated cost in USD", examples=[0.045])
    cost_source: str | None = Field(
        default=None, description="Set by the door: configuration, price_table or unknown; absent, the cost is the event's own"
    )
    cost_reason: str | None = Field(default=None, description="Why the cost is unknown")
    model_sent: str | None = Field(default=None, description="The name that the event came with, when the model is known under another")
    finish_reason: Literal["stop", "length", "content_filter", "error"] | None = None


class ErrorData(OpenModel):
    """A call that failed without a response."""

    error_type: str = Field(examples=["rate_limit_exceeded"])
    message: str | None = None
    model: str | None = None
    latency_ms: Amount | None = Field(default=None, description="Milliseconds until the failure")
    status_code: Integer | None = Field(default=None, examples=[429])
    retryable: bool | None = None


class MetricData(OpenModel):
    """A number that the producer measured itself."""

    metric_name: str = Field(examples=["requests_per_second"])
    value: float = Field(examples=[42.5])
    unit: str | None = Field(default=None, examples=["req/s"])
    dimensions: dict[str, str] | None = None


class TraceData(OpenModel):
    """One finished span of a trace."""

    trace_id: str
    span_id: str
    name: str = Field(examples=["retrieve-documents"])
    duration_ms: Amount = Field(description="Milliseconds")
    parent_span_id: str | None = None
    start_time: Timestamp | None = None
    status: str | None = None
    attributes: dict[str, Any] | None = None


class _Event(OpenModel):
    timestamp: Timestamp = Field(description="RFC 3339 time of the event", examples=["2025-11-06T12:34:56.789Z"])
    source: Source
    application_id: str = Field(description="Identifier for the LLM application", examples=["chatbot-prod"])
    event_id: Uuid | None = Field(default=None, description="Unique identifier; assigned at the door when missing")
    tenant_id: str = Field(default="default", description="Multi-tenant identifier", examples=["acme-corp"])
    correlation_id: str | None = Field(default=None, description="Request correlation ID for tracing", examples=["req-abc123"])
    metadata: Metadata | None = None


class RequestEvent(_Event):
    event_type: Literal["llm.request"]
    data: RequestData


class ResponseEvent(_Event):
    event_type: Literal["llm.response"]
    data: ResponseData


class ErrorEvent(_Event):
    event_type: Literal["llm.error"]
    data: ErrorData


class MetricEvent(_Event):
    event_type: Literal["llm.metric"]
    data: MetricData


class TraceEvent(_Event):
    event_type: Literal["llm.trace"]
    data: TraceData


class TelemetryEvent(
    RootModel[Annotated[RequestEvent | ResponseEvent | ErrorEvent | MetricEvent | TraceEvent, Field(discriminator="event_type")]]
):
    """Standard format of LLM telemetry (specification, Data Schemas 1)."""
