"""Doors of a running gateway, and events to send to them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import httpx

from services.gateway.service import RunningGateway
from services.traffic.timed import format_ms
from tests.support.streams import Stored, end_offsets, read_topic

TOKEN = "a-token-for-tests"
TOKENS = {"tokens": [{"tenants": ["acme", "globex"], "sha256": hashlib.sha256(TOKEN.encode()).hexdigest()}]}


def event(**changes: Any) -> dict[str, Any]:
    """One valid event, to which nothing is added on its way."""
    return {
        "event_id": str(uuid.uuid4()),
        "timestamp": format_ms(time.time_ns() // 1_000_000),
        "source": {"service": "test", "host": "here"},
        "event_type": "llm.response",
        "application_id": "chat",
        "data": {"status": "success", "latency_ms": 12.5, "model": "gpt-4", "completion_tokens": 7, "cost": 0.002},
        **changes,
    }


def lines(events: list[dict[str, Any]]) -> bytes:
    """NDJSON."""
    return b"\n".join(json.dumps(one).encode() for one in events)


class Doors:
    """A running gateway and its topic."""

    def __init__(self, running: RunningGateway, loop: asyncio.AbstractEventLoop, bootstrap: str, topic: str) -> None:
        self.running, self.bootstrap, self.topic = running, bootstrap, topic
        self._loop, self._closed = loop, False
        self.url = f"http://127.0.0.1:{running.ports['http']}"
        self.grpc = f"127.0.0.1:{running.ports['grpc']}"
        self.http = httpx.Client(base_url=self.url, timeout=30)
        self._start: dict[int, int] = {}
        self._page = ""

    def close(self) -> None:
        """Stops the gateway; a second time does nothing."""
        if not self._closed:
            self._closed = True
            self.http.close()
            asyncio.run_coroutine_threadsafe(self.running.stop(), self._loop).result(30)

    def begin(self) -> None:
        """From here on, `records`, `events` and `metric` speak of what comes after."""
        self._start = end_offsets(self.bootstrap, self.topic)
        self._page = self.http.get("/metrics").text

    def post(self, body: bytes, **headers: str) -> httpx.Response:
        """To the events route; `content_type` is application/x-ndjson unless given."""
        given = {"content-type": "application/x-ndjson"} | {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.post("/api/v1/telemetry/events", content=body, headers=given)

    def records(self) -> list[Stored]:
        """All records of the topic since `begin`."""
        return read_topic(self.bootstrap, self.topic, self._start)

    def events(self) -> list[dict[str, Any]]:
        """All events of the topic since `begin`."""
        return [json.loads(record.value) for record in self.records()]

    def metric(self, name: str) -> float:
        """How much a value of /metrics has grown since `begin`; by its name with labels."""
        return _value(self.http.get("/metrics").text, name) - _value(self._page, name)


def _value(page: str, name: str) -> float:
    return next((float(line.rpartition(" ")[2]) for line in page.splitlines() if line.startswith(f"{name} ")), 0.0)


OpenDoors = Callable[..., Doors]
"""The fixture `open_doors`: doors with the given section `ingestion`."""
