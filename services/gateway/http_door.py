"""The HTTP doors as one bare ASGI application: telemetry, OTLP, health and metrics.

Bare, because the one hot route wants nothing that a framework offers: it reads a body in parts, with a bound, and passes the bytes on.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

from services.dispatcher.events import log_event
from services.gateway.gateway import Gateway
from services.gateway.http_body import read_body, split_events
from services.gateway.openapi import document
from services.gateway.otlp.http import OtlpHttp
from services.gateway.problems import Answer, outcome_answer, problem, problem_of
from services.gateway.records import GatewayError

Send = Callable[[dict[str, Any]], Awaitable[None]]
EVENTS_PATH = "/api/v1/telemetry/events"
_TRACE = re.compile(r"^[\x21-\x7e]{1,200}$")
_ECHOED = (b"x-request-id", b"traceparent")


class HttpDoor:
    """ASGI application. `origins` are those that browsers may call from (`*`: all)."""

    def __init__(self, gateway: Gateway, otlp: OtlpHttp, max_body_bytes: int, origins: frozenset[str] = frozenset()) -> None:
        self._gateway, self._otlp, self._max_body_bytes, self._origins = gateway, otlp, max_body_bytes, origins

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        try:
            answer = await self._route(scope["method"], scope["path"], headers, receive)
        except GatewayError as error:
            answer = problem_of(error)
        except Exception as error:
            # Whatever it was, the sender hears that nothing was promised; the text may hold what was sent and stays out of the answer.
            log_event("request_failed", path=scope["path"][:200], error=type(error).__name__)
            answer = problem(500, "an unexpected error; nothing of the request was acknowledged")
        out = [(b"content-length", b"%d" % len(answer.body)), *answer.headers, *self._cors(headers)]
        out += [(name, headers[name]) for name in _ECHOED if name in headers and _TRACE.match(headers[name].decode("latin-1"))]
        await send({"type": "http.response.start", "status": answer.status, "headers": out})
        await send({"type": "http.response.body", "body": answer.body})

    async def _route(self, method: str, path: str, headers: dict[bytes, bytes], receive: Any) -> Answer:
        if path == EVENTS_PATH:
            return await self._events(headers, receive) if method == "POST" else self._other(method, "POST")
        if self._otlp.serves(path):
            return await self._otlp.answer(path, headers, receive) if method == "POST" else self._other(method, "POST")
        if path in _PAGES:
            return _PAGES[path](self) if method in ("GET", "HEAD") else self._other(method, "GET")
        return problem(404, f"expected {EVENTS_PATH}, /v1/traces, /v1/logs, /v1/metrics, /livez, /readyz, /metrics or /openapi.json")

    async def _events(self, headers: dict[bytes, bytes], receive: Any) -> Answer:
        who = self._gateway.principal(*credentials(headers))
        body = await read_body(receive, headers, self._max_body_bytes)
        values = split_events(body, media_type(headers))
        if not values:
            return problem(400, "expected at least one event", "(body)")
        accepted, rejections = await self._gateway.submit("http", values, who)
        return outcome_answer(accepted, rejections)

    def _other(self, method: str, allowed: str) -> Answer:
        if method == "OPTIONS":
            return Answer(204, ((b"allow", f"{allowed}, OPTIONS".encode()),), b"")
        answer = problem(405, f"expected {allowed}, got {method[:20]}")
        return answer._replace(headers=(*answer.headers, (b"allow", f"{allowed}, OPTIONS".encode())))

    def _cors(self, headers: dict[bytes, bytes]) -> list[tuple[bytes, bytes]]:
        origin = headers.get(b"origin")
        if origin is None or not self._origins:
            return []
        if "*" not in self._origins and origin.decode("latin-1") not in self._origins:
            return []
        return [
            (b"access-control-allow-origin", origin),
            (b"vary", b"origin"),
            (b"access-control-allow-methods", b"POST, GET, OPTIONS"),
            (
                b"access-control-allow-headers",
                b"authorization, content-type, content-encoding, x-sentinel-tenant, x-request-id, traceparent",
            ),
            (b"access-control-max-age", b"600"),
        ]

    def _live(self) -> Answer:
        return Answer(200, _TEXT, b"ok\n")

    def _ready(self) -> Answer:
        """Ready while events can be made durable: in Kafka, or on disk."""
        journal = self._gateway.journal
        state = "spilling to disk" if journal.spilling else "ok"
        return Answer(200, _TEXT, f"{state}\n".encode()) if journal.takes_events else problem(503, "the buffer is full")

    def _description(self) -> Answer:
        return Answer(200, ((b"content-type", b"application/json"),), document(self._max_body_bytes))

    def _metrics(self) -> Answer:
        return Answer(200, ((b"content-type", b"text/plain; version=0.0.4; charset=utf-8"),), self._gateway.metrics.page())


_TEXT = ((b"content-type", b"text/plain; charset=utf-8"),)
_PAGES: dict[str, Callable[[HttpDoor], Answer]] = {
    "/livez": HttpDoor._live,
    "/readyz": HttpDoor._ready,
    "/healthz": HttpDoor._ready,
    "/metrics": HttpDoor._metrics,
    "/openapi.json": HttpDoor._description,
}


def credentials(headers: dict[bytes, bytes]) -> tuple[str | None, str | None]:
    """What the request says of its sender: Authorization or x-api-key, and the tenant that it names."""
    given = headers.get(b"authorization") or headers.get(b"x-api-key")
    tenant = headers.get(b"x-sentinel-tenant")
    return (given.decode("latin-1") if given else None), (tenant.decode("utf-8", "replace") if tenant else None)


def media_type(headers: dict[bytes, bytes]) -> str:
    """The content type without parameters, in lower case."""
    return headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()
