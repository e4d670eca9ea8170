"""The HTTP door described by itself: `GET /openapi.json` (OpenAPI 3.1), from the models of the public contract."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from sentinel.contract.telemetry import TelemetryEvent

_PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "problem+json (RFC 9457); `field` says what is to blame, `rejections` lists refused events",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "field": {"type": "string"},
        "accepted": {"type": "integer"},
        "rejected": {"type": "integer"},
        "rejections": {"type": "array", "items": {"$ref": "#/components/schemas/Rejection"}},
    },
}
_REJECTION: dict[str, Any] = {
    "type": "object",
    "required": ["index", "field", "expected", "found", "reason"],
    "properties": {name: {"type": "string"} for name in ("field", "expected", "found", "reason", "event_id")}
    | {"index": {"type": "integer"}},
}
_OUTCOME: dict[str, Any] = {
    "type": "object",
    "required": ["accepted", "rejected"],
    "properties": {name: _PROBLEM["properties"][name] for name in ("accepted", "rejected", "rejections")},
}
_REFUSALS = {
    "400": "Nothing was taken",
    "401": "No known token",
    "403": "A tenant that the token does not speak for",
    "408": "The body was too slow",
    "413": "The body is too large, also after unzipping",
    "415": "A content type or encoding that is not read",
    "429": "Over the tenant's rate, quota or share of the buffer: Retry-After",
    "503": "Neither Kafka nor the disk takes events: Retry-After",
}


@cache
def document(max_body_bytes: int) -> bytes:
    """The description, as JSON."""
    event = TelemetryEvent.model_json_schema(ref_template="#/components/schemas/{model}", mode="validation")
    schemas = event.pop("$defs") | {"TelemetryEvent": event, "Problem": _PROBLEM, "Rejection": _REJECTION, "Outcome": _OUTCOME}
    one = {"$ref": "#/components/schemas/TelemetryEvent"}
    take = {
        "summary": "Takes telemetry events",
        "description": f"At most {max_body_bytes:,} bytes, also after unzipping (content-encoding: gzip).",
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]}},
                "application/x-ndjson": {"schema": {"type": "string", "description": "one event a line"}},
            },
        },
        "responses": {
            "202": _answer("Every event is durable", "Outcome"),
            "207": _answer("The good events are durable, the others are listed", "Outcome"),
            **{status: _answer(text, "Problem", "application/problem+json") for status, text in _REFUSALS.items()},
        },
        "security": [{}, {"bearer": []}, {"key": []}],
    }
    live = {"get": {"summary": "Lives", "responses": {"200": _text("ok")}}}
    full = _answer("The buffer is full", "Problem", "application/problem+json")
    ready = {"get": {"summary": "Takes events", "responses": {"200": _text("ok, or: spilling to disk"), "503": full}}}
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {"title": "LLM-Sentinel telemetry", "version": "1"},
            "paths": {"/api/v1/telemetry/events": {"post": take}, "/livez": live, "/readyz": ready},
            "components": {
                "schemas": schemas,
                "securitySchemes": {
                    "bearer": {"type": "http", "scheme": "bearer"},
                    "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
                },
            },
        }
    )


def _answer(text: str, schema: str, kind: str = "application/json") -> dict[str, Any]:
    return {"description": text, "content": {kind: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}


def _text(text: str) -> dict[str, Any]:
    return {"description": text, "content": {"text/plain": {"schema": {"type": "string"}}}}
