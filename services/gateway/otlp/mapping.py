"""Items of OTLP to telemetry events, as JSON values. The names stand in `aliases.yaml`; here is only what a field needs beside its name.

A span of a model call is an `llm.request` (when the prompt was captured) and an `llm.response`, or an `llm.error` when it failed; other spans of LLM
applications are `llm.trace`; scores and metric points are `llm.metric`. Event ids are UUIDv5 of what identifies the item, so that an export that is
repeated makes the same events.
"""

from __future__ import annotations

from typing import Any

from sentinel.events.model import UNKNOWN_MODEL
from sentinel.events.normalisation import read_time
from sentinel.identity import stable_id
from sentinel.timestamps import to_rfc3339
from services.gateway.otlp.alias_table import AliasTable
from services.gateway.otlp.items import LogItem, PointItem, SpanItem
from services.gateway.otlp.messages import text_of

Event = dict[str, Any]
_NO_SERVICE = "unknown_service"
_MAX_TRACE_ATTRIBUTES = 100


def span_events(span: SpanItem, table: AliasTable) -> list[Event]:
    """The events of one span; none when it has nothing to do with language models."""
    attributes, resource = span.attributes, span.resource
    exception = next((one.attributes for one in span.events if one.name == "exception"), {})
    if not table.is_inference(attributes):
        if span.name in table.copies or not table.concerns_models(attributes):
            return []
        return [_event("llm.trace", _trace(span, table), span, table)]
    model = table.text("model", attributes)
    identity = {"trace_id": span.trace_id, "span_id": span.span_id} | (
        {"parent_span_id": span.parent_span_id} if span.parent_span_id else {}
    )
    provider = table.text("provider", attributes, resource)
    common = identity | ({"provider": provider} if provider else {})
    events = []
    prompt = _prompt(table, attributes, *(one.attributes for one in span.events if one.name in table.content_logs))
    if prompt is not None:
        events.append(_event("llm.request", _request(table, attributes, model, prompt) | common, span, table))
    if span.failed or table.get("error_type", attributes) is not None:
        events.append(_event("llm.error", _error(span, exception, table, model) | common, span, table))
    else:
        events.append(_event("llm.response", _response(span, table, model) | common, span, table))
    return events


def log_events(log: LogItem, table: AliasTable) -> list[Event]:
    """The events of one log record: the prompt of a call (with the id of the same span's request), or a score."""
    body = log.body if isinstance(log.body, dict) else {}
    if log.event_name in table.score_logs:
        name, value = table.text("score_name", log.attributes, body), table.number("score_value", log.attributes, body)
        if name is None or value is None:
            return []
        data: Event = {"metric_name": f"gen_ai.evaluation.{name}", "value": value}
        return [_base("llm.metric", data, _log_id(log, "llm.metric", name), log.time_ns, log, table, log.trace_id, log.span_id)]
    if log.event_name not in table.content_logs:
        return []
    content = _prompt(table, log.attributes, body)
    prompt = content if content is not None else text_of(log.body)
    if prompt is None:
        return []
    data = _request(table, log.attributes | body, table.text("model", log.attributes, body), prompt)
    return [_base("llm.request", data, _log_id(log, "llm.request"), log.time_ns, log, table, log.trace_id, log.span_id)]


def point_events(point: PointItem, table: AliasTable) -> list[Event]:
    """The event of one data point; none for metrics of other things, and for points without a value."""
    if point.value is None or not table.is_metric(point.name):
        return []
    dimensions = {name: str(value)[:500] for name, value in point.attributes.items()}
    if point.samples is not None:
        dimensions |= {"aggregation": "mean", "count": str(point.samples)}
    if point.temporality is not None:
        dimensions["temporality"] = point.temporality
    data: Event = {"metric_name": point.name, "value": point.value, "unit": point.unit or None, "dimensions": dimensions}
    model = table.text("model", point.attributes)
    if model is not None:
        data["model"] = model
    source = table.text("application_id", point.resource), table.text("host", point.resource)
    event_id = stable_id("otlp", *source, point.name, sorted(dimensions.items()), point.time_ns)
    return [_base("llm.metric", _without_none(data), event_id, point.time_ns, point, table, "", "")]


def _event(kind: str, data: Event, span: SpanItem, table: AliasTable) -> Event:
    time_ns = span.start_ns if kind == "llm.request" else span.end_ns
    event_id = stable_id("otlp", span.trace_id, span.span_id, kind)
    return _base(kind, data, event_id, time_ns, span, table, span.trace_id, span.span_id)


def _base(
    kind: str,
    data: Event,
    event_id: str,
    time_ns: int,
    item: SpanItem | LogItem | PointItem,
    table: AliasTable,
    trace_id: str,
    span_id: str,
) -> Event:
    attributes, resource = item.attributes, item.resource
    application = table.text("application_id", resource, attributes) or _NO_SERVICE
    version = table.text("service_version", resource)
    event: Event = {
        "event_id": event_id,
        "timestamp": to_rfc3339(time_ns // 1_000_000),
        "source": {"service": application, "host": table.text("host", resource) or "unknown"} | ({"version": version} if version else {}),
        "event_type": kind,
        "application_id": application,
        "data": data,
    }
    tenant = table.text("tenant_id", resource, attributes)
    if tenant is not None:
        event["tenant_id"] = tenant
    if trace_id:
        # One call: its request and its answer share it, and no other call of the trace does.
        event["correlation_id"] = f"{trace_id}-{span_id}" if span_id else trace_id
    metadata = _metadata(table, attributes, resource)
    if metadata:
        event["metadata"] = metadata
    return event


def _metadata(table: AliasTable, attributes: dict[str, Any], resource: dict[str, Any]) -> Event:
    given = table.text("environment", resource, attributes)
    environment = table.environment(given)
    tags = table.rest(attributes)
    if given and environment is None:
        tags["environment"] = given[:500]
    metadata = {
        "user_id": table.text("user_id", attributes, resource),
        "session_id": table.text("session_id", attributes, resource),
        "environment": environment,
        "tags": tags or None,
    }
    return _without_none(metadata)


def _prompt(table: AliasTable, *places: dict[str, Any]) -> str | None:
    parts = (text_of(table.get("system_instructions", *places)), text_of(table.get("prompt", *places)))
    return "\n".join(part for part in parts if part) or None


def _request(table: AliasTable, attributes: dict[str, Any], model: str | None, prompt: str) -> Event:
    parameters = {
        "temperature": table.number("temperature", attributes),
        "max_tokens": table.count("max_tokens", attributes),
        "top_p": table.number("top_p", attributes),
    }
    data: Event = {"model": model or UNKNOWN_MODEL, "prompt": prompt, "prompt_tokens": table.count("prompt_tokens", attributes)}
    known = _without_none(parameters)
    return _without_none(data) | ({"parameters": known} if known else {})


def _response(span: SpanItem, table: AliasTable, model: str | None) -> Event:
    attributes = span.attributes
    prompt, completion = table.count("prompt_tokens", attributes), table.count("completion_tokens", attributes)
    total = table.count("total_tokens", attributes)
    if total is None and prompt is not None and completion is not None:
        total = prompt + completion
    cost = table.number("cost", attributes)
    if cost == 0 and total:
        # Without a price table OpenLIT writes 0: the cost is not known then, which is something else.
        cost = None
    data: Event = {
        "status": "success",
        "latency_ms": (span.end_ns - span.start_ns) / 1e6,
        "model": model,
        "response": text_of(table.get("response", attributes)),
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": total,
        "cost": cost,
        "finish_reason": table.finish_reason(table.get("finish_reason", attributes)),
        "time_to_first_token_ms": _time_to_first_token_ms(span, table),
    }
    return _without_none(data)


def _time_to_first_token_ms(span: SpanItem, table: AliasTable) -> float | None:
    """As the library measured it, else from the start of the span to the time that it names, else to the first event of the stream."""
    measured_s = table.number("time_to_first_token_s", span.attributes)
    if measured_s is not None:
        return measured_s * 1000
    at = read_time((table.text("first_token_time", span.attributes) or "").strip('"'))
    if at is not None:
        at_ms = at.timestamp() * 1000 - span.start_ns / 1e6
    elif times_ns := [one.time_ns for one in span.events if one.name in table.first_token_events]:
        at_ms = (min(times_ns) - span.start_ns) / 1e6
    else:
        return None
    return at_ms if 0 <= at_ms <= (span.end_ns - span.start_ns) / 1e6 else None


def _error(span: SpanItem, exception: dict[str, Any], table: AliasTable, model: str | None) -> Event:
    message = span.message or table.text("error_message", exception, span.attributes)
    status_code = table.count("status_code", span.attributes, exception) or table.status_code(message)
    # A status stands for its error, as the conventions of OpenTelemetry have it, where the library names none.
    given = table.text("error_type", span.attributes, exception) or str(status_code or "unknown")
    data: Event = {
        # `openai.RateLimitError` and `RateLimitError` are one.
        "error_type": given.rpartition(".")[2] or given,
        "message": message,
        "model": model,
        "latency_ms": (span.end_ns - span.start_ns) / 1e6,
        "status_code": status_code,
    }
    return _without_none(data)


def _trace(span: SpanItem, table: AliasTable) -> Event:
    attributes = dict(list(span.attributes.items())[:_MAX_TRACE_ATTRIBUTES])
    data: Event = {
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_span_id": span.parent_span_id or None,
        "name": span.name or table.text("operation", attributes) or "span",
        "duration_ms": (span.end_ns - span.start_ns) / 1e6,
        "start_time": to_rfc3339(span.start_ns // 1_000_000),
        "status": "error" if span.failed else "ok",
        "attributes": attributes,
    }
    return _without_none(data)


def _log_id(log: LogItem, kind: str, *more: str) -> str:
    if log.trace_id and log.span_id:
        return stable_id("otlp", log.trace_id, log.span_id, kind, *more)
    return stable_id("otlp", kind, *more, log.time_ns, str(log.body)[:2000], sorted(map(str, log.attributes.items())))


def _without_none(values: Event) -> Event:
    return {name: value for name, value in values.items() if value is not None}
