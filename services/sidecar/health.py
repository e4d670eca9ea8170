"""The sidecar's HTTP port: health, metrics, and the anomalies that it knows of."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import orjson

from services.gateway.http_door import Send
from services.gateway.problems import Answer, problem
from services.sidecar.findings import FIELDS
from services.sidecar.forwarder import Forwarder
from services.sidecar.intake import Intake

_JSON = ((b"content-type", b"application/json"),)
_TEXT = ((b"content-type", b"text/plain; charset=utf-8"),)
_METRICS = ((b"content-type", b"text/plain; version=0.0.4; charset=utf-8"),)
ANOMALIES_PATH = "/anomalies"


class HealthDoor:
    """ASGI application. Anomalies are shown to the machine itself (the pod) alone: they may quote what users wrote."""

    def __init__(self, intake: Intake, forwarder: Forwarder, metrics_page: Callable[[], bytes], health_path: str) -> None:
        self._intake, self._forwarder, self._metrics_page = intake, forwarder, metrics_page
        self._pages: dict[str, Callable[[], Answer]] = {
            "/livez": lambda: Answer(200, _TEXT, b"ok\n"),
            "/readyz": self._ready,
            "/healthz": self._ready,
            "/metrics": lambda: Answer(200, _METRICS, self._metrics_page()),
            health_path: self._health,
        }

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        answer = self._answer(scope)
        headers = [(b"content-length", b"%d" % len(answer.body)), *answer.headers]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    def _answer(self, scope: dict[str, Any]) -> Answer:
        path = scope["path"]
        if path != ANOMALIES_PATH and path not in self._pages:
            return problem(404, f"expected {', '.join(sorted({*self._pages, ANOMALIES_PATH}))}")
        if scope["method"] not in ("GET", "HEAD"):
            answer = problem(405, f"expected GET, got {scope['method'][:20]}")
            return answer._replace(headers=(*answer.headers, (b"allow", b"GET")))
        return self._pages[path]() if path != ANOMALIES_PATH else self._anomalies(scope)

    def _health(self) -> Answer:
        """Alive is healthy: a sidecar that is started anew because its centre is away would lose what it holds. The state stands in the body."""
        ring, trouble = self._intake.ring, self._forwarder.trouble
        document = {
            "status": "ok" if trouble is None and self._intake.takes_events else "degraded",
            "centre": trouble or "ok",
            "ring_events": len(ring),
            "ring_size": ring.size,
            "dropped_events": ring.dropped_oldest + self._forwarder.refused + self._forwarder.failed,
            "config_version": self._intake.rules.version,
            "detectors": self._intake.rules.detectors,
        }
        return Answer(200, _JSON, orjson.dumps(document))

    def _ready(self) -> Answer:
        return Answer(200, _TEXT, b"ok\n") if self._intake.takes_events else problem(503, "the ring is full")

    def _anomalies(self, scope: dict[str, Any]) -> Answer:
        client = scope.get("client")
        if client is None or not ipaddress.ip_address(client[0]).is_loopback:
            return problem(403, "anomalies are shown on the loopback interface only")
        wanted = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        unknown = sorted(wanted.keys() - set(FIELDS))
        if unknown:
            return problem(400, f"expected parameters {', '.join(FIELDS)}", unknown[0][:100])
        return Answer(200, _JSON, orjson.dumps({"anomalies": self._intake.findings.list(wanted)}))
