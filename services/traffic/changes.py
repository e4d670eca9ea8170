"""What each kind of trouble does to one event, and the draws behind it: functions of their arguments alone, so runs can be repeated."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any
from uuid import UUID

from services.traffic import plan as plans
from services.traffic.timed import Event


def is_call(event: Event) -> bool:
    """True for the answer of a call: llm.response or llm.error."""
    return event.get("event_type") in ("llm.response", "llm.error")


def hash_unit(*parts: object) -> float:
    """A number in [0, 1) that depends on the parts only."""
    digest = hashlib.blake2b("|".join(map(str, parts)).encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def derived_id(*parts: object) -> str:
    """An event id (UUID, version 4 layout) that depends on the parts only."""
    digest = hashlib.blake2b("|".join(map(str, parts)).encode("utf-8", "replace"), digest_size=16).digest()
    return str(UUID(bytes=digest, version=4))


def user_of(event: Event) -> str | None:
    metadata = event.get("metadata")
    user = metadata.get("user_id") if isinstance(metadata, dict) else None
    return user if isinstance(user, str) else None


def _scale(data: dict[str, Any], name: str, factor: float, *, digits: int | None = None) -> bool:
    value = data.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    data[name] = round(value * factor) if digits is None else round(value * factor, digits)
    return True


def _latency(seed: int, spec: plans.Injection, number: int, event: Event) -> bool:
    assert isinstance(spec, plans.LatencySpike)
    return is_call(event) and _scale(event["data"], "latency_ms", spec.factor, digits=2)


def _cost(seed: int, spec: plans.Injection, number: int, event: Event) -> bool:
    assert isinstance(spec, plans.CostRunaway)
    return is_call(event) and _scale(event["data"], "cost", spec.factor, digits=9)


def _tokens(seed: int, spec: plans.Injection, number: int, event: Event) -> bool:
    assert isinstance(spec, plans.TokenExplosion)
    data, factor = event["data"], spec.factor
    scaled = [_scale(data, name, factor) for name in ("prompt_tokens", "completion_tokens", "total_tokens")]
    if isinstance(data.get("prompt_tokens"), int) and isinstance(data.get("completion_tokens"), int) and scaled[2]:
        data["total_tokens"] = data["prompt_tokens"] + data["completion_tokens"]  # rounding must not break the sum
    return any(scaled)


def _error(seed: int, spec: plans.Injection, number: int, event: Event) -> bool:
    """A good answer becomes a failed one: the half of them llm.error, the others responses with status error."""
    assert isinstance(spec, plans.ErrorBurst)
    data = event["data"]
    if event.get("event_type") != "llm.response" or data.get("status") != "success":
        return False
    draw = hash_unit(seed, number, event.get("event_id"))
    if draw >= spec.share:
        return False
    kept = {name: data[name] for name in ("model", "latency_ms") if name in data}
    if draw < spec.share / 2:
        event["event_type"] = "llm.error"
        event["data"] = {"error_type": "upstream_error", "message": "the model endpoint answered with an internal error", **kept}
        event["data"] |= {"status_code": 500, "retryable": True}
    else:
        event["data"] = {"status": "error", **kept, "finish_reason": "error"}
    return True


CHANGES: dict[str, Callable[[int, plans.Injection, int, Event], bool]] = {
    "latency_spike": _latency,
    "cost_runaway": _cost,
    "token_explosion": _tokens,
    "error_burst": _error,
}
