"""Sidecars of a test: real ports, a real Unix socket, and the gateway that the test opened."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

import grpc
import httpx
import yaml

from schemas.pb.llm.sentinel.v1 import ingestion_pb2 as pb
from schemas.pb.llm.sentinel.v1.ingestion_pb2_grpc import TelemetryIngestionStub
from sentinel.config.load import parse_config
from services.sidecar.service import RunningSidecar
from services.sidecar.settings import SidecarSettings
from tests.support.doors import _value


def settings_of(endpoint: str, document: dict[str, Any]) -> SidecarSettings:
    """Settings of a sidecar on free ports that sends to `endpoint`; the document is merged into that."""
    base: dict[str, Any] = {
        "mode": "sidecar",
        "application": {"id": "chat"},
        "ingestion": {"local": {"grpc": {"port": 0}}, "batching": {"timeout": 0.05}},
        "forwarding": {"central": {"endpoint": endpoint, "retry": {"initialBackoff": 0.05, "maxBackoff": 0.2}}},
        "health": {"port": 0},
    }
    return SidecarSettings.of(parse_config(yaml.safe_dump(merge(base, document)), "test").config)


def merge(base: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """`more` on top of `base`."""
    both = {
        key: merge(base[key], value) if isinstance(base.get(key), dict) and isinstance(value, dict) else value
        for key, value in more.items()
    }
    return base | both


class Beside:
    """A running sidecar."""

    def __init__(self, settings: SidecarSettings, loop: asyncio.AbstractEventLoop) -> None:
        self._loop, self._closed = loop, False
        self.running = asyncio.run_coroutine_threadsafe(RunningSidecar.start(settings), loop).result(30)
        self.grpc = f"127.0.0.1:{self.running.ports['grpc']}"
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.running.ports['health']}", timeout=30)

    def close(self, grace_s: float = 5.0) -> None:
        """Stops it; a second time does nothing."""
        if not self._closed:
            self._closed = True
            self.http.close()
            asyncio.run_coroutine_threadsafe(self.running.stop(grace_s), self._loop).result(30)

    def send(self, events: Sequence[dict[str, Any]], address: str | None = None) -> Any:
        """One batch; raises grpc.RpcError."""
        with grpc.insecure_channel(address or self.grpc) as channel:
            request = pb.BatchTelemetryRequest(json_events=[json.dumps(one).encode() for one in events])
            return TelemetryIngestionStub(channel).BatchTelemetry(request, timeout=20)

    def use(self, settings: SidecarSettings) -> None:
        """Other settings, as when the file has changed."""

        async def change() -> None:
            self.running.use(settings)

        asyncio.run_coroutine_threadsafe(change(), self._loop).result(30)

    def metric(self, name: str) -> float:
        """A value of /metrics by its name with labels."""
        return _value(self.http.get("/metrics").text, name)

    def anomalies(self, **wanted: str) -> list[dict[str, Any]]:
        """What it knows of."""
        found: list[dict[str, Any]] = self.http.get("/anomalies", params=wanted).json()["anomalies"]
        return found

    def books(self) -> float:
        """Accepted events less everything that can become of them: 0, always."""
        page = self.http.get("/metrics").text
        prefix = "sentinel_sidecar"
        accepted = sum(_value(page, f'{prefix}_events_total{{door="{door}",outcome="accepted"}}') for door in ("grpc", "otlp"))
        dropped = sum(_value(page, f'{prefix}_dropped_events_total{{reason="{reason}"}}') for reason in ("oldest", "refused", "failed"))
        others = ("filtered_events_total", "sampled_out_events_total", "forwarded_events_total", "ring_events")
        return accepted - dropped - sum(_value(page, f"{prefix}_{name}") for name in others)


OpenSidecar = Callable[..., Beside]
"""The fixture `open_sidecar`: a sidecar that sends to an endpoint, with sections by name."""
