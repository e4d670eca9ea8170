"""Seeded synthetic traffic: every LLM call is an llm.request followed, after its latency, by an llm.response or an llm.error."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from services.traffic.prompts import ANSWERS, PromptWriter, fit_text
from services.traffic.timed import Event, TimedEvent, TimedStream, format_ms
from services.traffic.world import World, build_world, daily_rhythm

SLICE_MS = 1000
ERROR_SHARE = 0.01
LATENCY_SIGMA = 0.35
TOKEN_SIGMA = 0.45
ERROR_KINDS = (
    ("rate_limit", "the model endpoint asked to slow down", 429, True),
    ("overloaded", "the model endpoint is overloaded", 529, True),
    ("upstream_error", "the model endpoint answered with an internal error", 500, True),
    ("invalid_request", "the request exceeded the context length of the model", 400, False),
)


@dataclass(frozen=True)
class TrafficSettings:
    """What `sentinel generate` can vary. `rate` counts events (two a call) per second, on the average of a day when `rhythm` is on."""

    seed: int = 1
    rate: float = 200.0
    tenants: int = 4
    applications: int = 12
    models: int = 4
    users: int = 40
    keys: int | None = None
    event_bytes: int | None = None
    rhythm: bool = True

    def world(self) -> World:
        """The tenants, applications and models of these settings. Raises ValueError for counts below 1."""
        return build_world(
            self.seed, tenants=self.tenants, applications=self.applications, models=self.models, users=self.users, keys=self.keys
        )


def generate_events(
    settings: TrafficSettings, start_ms: int, *, duration_s: float | None = None, events: int | None = None
) -> Iterator[TimedEvent]:
    """Events in the order of their time, from `start_ms` on (epoch ms).

    With `duration_s` calls start within it and each still gets its answer; with `events` exactly that many are yielded; with neither the
    stream has no end. The same settings and start give the same bytes.
    """
    if settings.rate <= 0:
        raise ValueError(f"rate: expected a number of events per second above 0, found {settings.rate}")
    stream = _calls_in_order(settings, start_ms, duration_s)
    return stream if events is None else itertools.islice(stream, events)


def _calls_in_order(settings: TrafficSettings, start_ms: int, duration_s: float | None) -> TimedStream:
    end_ms = None if duration_s is None else start_ms + round(duration_s * 1000)
    factory = _CallFactory(settings)
    pending: list[tuple[int, int, Event]] = []
    order = itertools.count()
    for index in itertools.count():
        slice_start = start_ms + index * SLICE_MS
        if end_ms is not None and slice_start >= end_ms:
            break
        width = SLICE_MS if end_ms is None else min(SLICE_MS, end_ms - slice_start)
        for ts_ms, event in factory.slice(index, slice_start, width):
            heapq.heappush(pending, (ts_ms, next(order), event))
        while pending and pending[0][0] < slice_start + SLICE_MS:
            ts_ms, _, event = heapq.heappop(pending)
            yield TimedEvent(ts_ms, event)
    while pending:
        ts_ms, _, event = heapq.heappop(pending)
        yield TimedEvent(ts_ms, event)


class _CallFactory:
    """Draws the calls of one second at a time. Each second has a random source of its own, so a run can be cut anywhere."""

    def __init__(self, settings: TrafficSettings) -> None:
        self._settings = settings
        self._world = settings.world()
        world = self._world
        self._app_cum = np.cumsum(world.application_shares())
        self._user_cum = np.cumsum(world.user_shares())
        self._model_counts = np.array([len(a.models) for a in world.applications])
        self._model_table = np.zeros((len(world.applications), int(self._model_counts.max())), dtype=np.int64)
        for row, app in enumerate(world.applications):
            self._model_table[row, : len(app.models)] = app.models
        self._scale = np.array([a.scale for a in world.applications])
        self._latency = np.array([m.latency_ms for m in world.models])
        self._prompt = np.array([m.prompt_tokens for m in world.models])
        self._completion = np.array([m.completion_tokens for m in world.models])

    def slice(self, index: int, start_ms: int, width_ms: int) -> list[tuple[int, Event]]:
        """(time, event) of all calls that start in the slice; answers may lie behind it."""
        settings, world = self._settings, self._world
        rng = np.random.default_rng([settings.seed, 2, index])
        factor = daily_rhythm(start_ms) if settings.rhythm else 1.0
        n = int(rng.poisson(settings.rate / 2.0 * factor * width_ms / 1000.0))
        if n == 0:
            return []
        at = np.sort(rng.integers(0, width_ms, n))
        app = np.minimum(np.searchsorted(self._app_cum, rng.random(n)), len(self._app_cum) - 1)
        user = np.minimum(np.searchsorted(self._user_cum, rng.random(n)), len(self._user_cum) - 1)
        model = self._model_table[app, (rng.random(n) * self._model_counts[app]).astype(np.int64)]
        scale = self._scale[app]
        latency = np.round(self._latency[model] * scale * rng.lognormal(0.0, LATENCY_SIGMA, n), 2)
        prompt_tokens = np.ceil(self._prompt[model] * scale * rng.lognormal(0.0, TOKEN_SIGMA, n)).astype(np.int64)
        completion = np.ceil(self._completion[model] * scale * rng.lognormal(0.0, TOKEN_SIGMA, n)).astype(np.int64)
        failed = rng.random(n) < ERROR_SHARE
        variety = rng.integers(0, 1 << 30, n)
        ids = rng.bytes(40 * n).hex()
        texts = PromptWriter(np.random.default_rng([settings.seed, 3, index])).draw([world.applications[a].domain for a in app.tolist()])
        columns = zip(
            at.tolist(), app.tolist(), user.tolist(), model.tolist(), latency.tolist(), prompt_tokens.tolist(), completion.tolist(),
            failed.tolist(), variety.tolist(), texts, strict=True,
        )  # fmt: skip
        result: list[tuple[int, Event]] = []
        for row, (offset, a, u, m, lat, p_tok, c_tok, bad, var, (text, language)) in enumerate(columns):
            hexes = ids[80 * row : 80 * row + 80]
            request_ms = start_ms + offset
            response_ms = request_ms + round(lat)
            frame = _Frame(world, a, u, var, language, hexes)
            spec = world.models[m]
            request = frame.event(
                hexes[:32],
                request_ms,
                "llm.request",
                {
                    "model": spec.name,
                    "prompt": text,
                    "prompt_tokens": p_tok,
                    "parameters": {"temperature": (var % 11) / 10, "max_tokens": 2048, "top_p": 1.0},
                },
            )
            if bad:
                kind, data = _failure(spec.name, lat, var)
            else:
                kind, data = (
                    "llm.response",
                    {
                        "status": "success",
                        "model": spec.name,
                        "response": ANSWERS[var % len(ANSWERS)],
                        "prompt_tokens": p_tok,
                        "completion_tokens": c_tok,
                        "total_tokens": p_tok + c_tok,
                        "latency_ms": lat,
                        "cost": spec.cost_usd(p_tok, c_tok),
                        "finish_reason": "length" if var % 50 == 0 else "stop",
                    },
                )
            response = frame.event(hexes[32:64], response_ms, kind, data)
            if settings.event_bytes is not None:
                fit_event(request, settings.event_bytes)
                fit_event(response, settings.event_bytes)
            result.append((request_ms, request))
            result.append((response_ms, response))
        return result


class _Frame:
    """The fields that request and answer of one call share."""

    def __init__(self, world: World, app: int, user: int, variety: int, language: str, hexes: str) -> None:
        self._app = world.applications[app]
        self._user = self._app.user_id(user)
        self._host = f"obs-worker-{variety % 4 + 1:02d}"
        self._language = language
        self._correlation = "req-" + hexes[64:80]
        # A session = what one user does within a small set of tabs; enough to group by, cheap to draw.
        self._session = f"{self._user}-s{variety // 64 % 3}"

    def event(self, hexes: str, ts_ms: int, event_type: str, data: dict[str, Any]) -> Event:
        app = self._app
        return {
            "event_id": uuid_text(hexes),
            "timestamp": format_ms(ts_ms),
            "source": {"service": "llm-observatory", "host": self._host, "version": "1.2.3"},
            "event_type": event_type,
            "application_id": app.application_id,
            "tenant_id": app.tenant_id,
            "correlation_id": self._correlation,
            "data": data,
            "metadata": {
                "user_id": self._user,
                "session_id": self._session,
                "environment": app.environment,
                "tags": {"region": app.region, "language": self._language, "domain": app.domain},
            },
        }


def uuid_text(hexes: str) -> str:
    """32 random hexadecimal digits as a UUID of version 4."""
    variant = "89ab"[int(hexes[16], 16) & 3]
    return f"{hexes[:8]}-{hexes[8:12]}-4{hexes[13:16]}-{variant}{hexes[17:20]}-{hexes[20:32]}"


def _failure(model: str, latency_ms: float, variety: int) -> tuple[str, dict[str, Any]]:
    """A failed call: one half as llm.error, the other as a response with status error or timeout."""
    if variety & 1:
        error_type, message, code, retryable = ERROR_KINDS[variety // 2 % len(ERROR_KINDS)]
        return "llm.error", {
            "error_type": error_type,
            "message": message,
            "model": model,
            "latency_ms": latency_ms,
            "status_code": code,
            "retryable": retryable,
        }
    status = "timeout" if variety & 2 else "error"
    return "llm.response", {"status": status, "model": model, "latency_ms": latency_ms, "finish_reason": "error"}


def fit_event(event: Event, size: int) -> None:
    """Pad or cut the event's longest free text so that its JSON has `size` bytes (as near as the other fields allow), in place."""
    data = event["data"]
    field = next((name for name in ("prompt", "response", "message") if name in data), "response")
    text = data.setdefault(field, ".")
    # The texts hold no character that JSON escapes, so bytes added to the text are bytes added to the JSON.
    data[field] = fit_text(text, len(text.encode()) + size - len(orjson.dumps(event)))
