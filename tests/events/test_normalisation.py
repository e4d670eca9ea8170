"""Events in other spellings, units and times become canonical; what is not understood keeps its first refusal."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sentinel.config.errors import ConfigError
from sentinel.config.load import parse_config
from sentinel.events.decode import Decoded, decode_batch
from sentinel.events.normalisation import NormalisationSettings, Normaliser, read_time, settings_from
from tests.support.telemetry import response

NOW = datetime.now(UTC)
NOW_MS = round(time.time() * 1000)
CAMEL = {
    "eventId": "550e8400-e29b-41d4-a716-446655440000",
    "timestamp": NOW_MS,
    "source": {"service": "s", "host": "h"},
    "eventType": "response",
    "applicationId": "chat",
    "tenantId": "acme",
    "correlationId": "req-1",
    "data": {
        "modelId": "gpt-4o",
        "status": "ok",
        "latencySeconds": 1.5,
        "usage": {"input_tokens": 100, "output_tokens": 50},
        "finishReason": "end_turn",
        "responseText": "hello",
    },
    "metadata": {"userId": "u-1", "env": "production"},
}


def _decode(content: Any, settings: NormalisationSettings = NormalisationSettings()) -> Decoded:  # noqa: B008
    value = content if isinstance(content, bytes) else json.dumps(content).encode()
    return decode_batch([value], [NOW_MS], NOW, Normaliser(settings))


def _data(**changes: Any) -> dict[str, Any]:
    content = response(NOW_MS, "acme", "chat")
    content["data"] = {name: item for name, item in (content["data"] | changes).items() if item is not None}
    return content


def test_camel_case_other_units_and_values() -> None:
    decoded = _decode(CAMEL)
    (event,) = decoded.events
    assert (event.tenant_id, event.application_id, event.correlation_id, event.event_type) == ("acme", "chat", "req-1", "llm.response")
    data = event.data
    assert (data.model, data.status, data.latency_ms, data.finish_reason, data.response) == ("gpt-4o", "success", 1500.0, "stop", "hello")
    assert (data.prompt_tokens, data.completion_tokens) == (100, 50)
    assert event.metadata is not None and (event.metadata.user_id, event.metadata.environment) == ("u-1", "prod")
    # What goes on is canonical: it needs no second look.
    assert decode_batch([decoded.rewritten[0]], [NOW_MS], NOW).events == [event]


@pytest.mark.parametrize(
    ("changes", "latency_ms"),
    [
        ({"latencyMs": 12}, 12),
        ({"latency_s": 1.2}, 1200),
        ({"duration_ns": 3_000_000}, 3),
        ({"response_time_us": 2500}, 2.5),
        ({"latency": "350ms"}, 350),
        ({"latency": "1.5 s"}, 1500),
        ({"latency": 2, "latency_unit": "s"}, 2000),
        ({"latency": 2}, None),
        ({"latency": "quick"}, None),
    ],
)
def test_durations_only_with_a_unit(changes: dict[str, Any], latency_ms: float | None) -> None:
    decoded = _decode(_data(latency_ms=None, **changes))
    if latency_ms is None:
        assert [(reject.path, reject.found) for _, reject in decoded.rejects] == [("$.data.latency_ms", "nothing")]
    else:
        assert decoded.events[0].data.latency_ms == pytest.approx(latency_ms)


def test_names_of_opentelemetry() -> None:
    changes = {"model": None, "prompt_tokens": None, "completion_tokens": None, "latency_ms": None}
    names = {
        "gen_ai.response.model": "gpt-4o",
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 3,
        "gen_ai.client.operation.duration_s": 0.2,
    }
    data = _decode(_data(**changes, **names, finish_reason=None) | {}).events[0].data
    assert (data.model, data.prompt_tokens, data.completion_tokens, data.latency_ms) == ("gpt-4o", 7, 3, 200.0)


@pytest.mark.parametrize(
    "written",
    [
        NOW.timestamp(),
        int(NOW.timestamp()),
        int(NOW.timestamp() * 1e3),
        int(NOW.timestamp() * 1e6),
        int(NOW.timestamp() * 1e9),
        str(int(NOW.timestamp() * 1e3)),
        NOW.isoformat(sep=" "),
        NOW.astimezone().isoformat(),
        (NOW + timedelta(hours=2)).isoformat().replace("+00:00", "+02:00"),
        NOW.strftime("%a, %d %b %Y %H:%M:%S GMT"),
    ],
)
def test_times(written: object) -> None:
    found = _decode(response(NOW_MS, "acme", "chat") | {"timestamp": written}).events[0].timestamp
    assert abs(found - NOW) < timedelta(seconds=1)


@pytest.mark.parametrize("written", [True, 12, "yesterday", "2026-01-01T00:00:00", 1e30, "1" * 400, None, [], {}])
def test_what_is_no_time(written: object) -> None:
    assert read_time(written) is None
    assert [reject.path for _, reject in _decode(response(NOW_MS, "acme", "chat") | {"timestamp": written}).rejects] == ["$.timestamp"]


def test_a_time_out_of_range_by_tenant() -> None:
    settings = NormalisationSettings(tenant_timestamps={"acme": "clamp"})
    old, late = (
        response(NOW_MS, "acme", "chat") | {"timestamp": "2001-01-01T00:00:00Z"},
        response(NOW_MS, "acme", "chat") | {"timestamp": 4_102_444_800},
    )
    decoded = _decode(old, settings)
    assert decoded.events[0].timestamp == NOW - timedelta(days=7)
    assert json.loads(decoded.rewritten[0])["timestamp_sent"] == "2001-01-01T00:00:00Z"
    assert _decode(late, settings).events[0].timestamp == NOW + timedelta(minutes=5)
    assert [reject.path for _, reject in _decode(old | {"tenant_id": "other"}, settings).rejects] == ["$.timestamp"]


def test_the_tenant_follows_from_the_application() -> None:
    settings = NormalisationSettings(applications={"chat": "acme"})
    content = response(NOW_MS, "acme", "chat")
    del content["tenant_id"]
    assert _decode(content, settings).events[0].tenant_id == "acme"
    assert _decode(content | {"application_id": "other"}, settings).events[0].tenant_id == "default"
    assert _decode(content | {"tenantId": "beta"}).events[0].tenant_id == "beta"


def test_a_key_of_that_name_deeper_down_is_nobodys_tenant() -> None:
    content = response(NOW_MS, "default", "chat") | {"own": {"tenantId": "beta"}}
    decoded = _decode(content)
    assert [event.tenant_id for event in decoded.events] == ["default"] and decoded.rewritten == {} and not decoded.rejects


def test_a_canonical_event_is_not_touched() -> None:
    decoded = _decode(response(NOW_MS, "acme", "chat"))
    assert len(decoded.events) == 1 and decoded.rewritten == {}


@pytest.mark.parametrize("value", [b"", b"{", b"[]", b"42", b"[" * 5000, b'{"eventType": "response"}', b"\xff"])
def test_what_cannot_be_understood_keeps_its_refusal(value: bytes) -> None:
    plain = decode_batch([value], [NOW_MS], NOW)
    assert _decode(value).rejects == plain.rejects and len(plain.rejects) == 1


def test_switched_off() -> None:
    assert _decode(CAMEL, NormalisationSettings(enabled=False)).rejects


def test_the_configuration() -> None:
    text = "{ingestion: {normalisation: {applications: {chat: acme}}}, tenants: {acme: {timestamps: clamp}, b: {}}}"
    settings = settings_from(parse_config(text, "c.yaml").config.to_snapshot())
    assert settings == NormalisationSettings(True, {"chat": "acme"}, "dlq", {"acme": "clamp"})
    with pytest.raises(ConfigError, match="expected one of dlq, clamp, found"):
        parse_config("tenants: {acme: {timestamps: clamped}}", "c.yaml")
