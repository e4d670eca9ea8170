"""The product's own processes beside the jobs, as supervised services."""

from __future__ import annotations

import sys
import urllib.request

from services.stack.ports import HOST
from services.stack.service import Service


class _Module(Service):
    """A Python module of the product run as a process. It has no port; alive is healthy."""

    needed = False
    module: str

    def command(self) -> list[str]:
        return [sys.executable, "-m", self.module]

    def healthy(self) -> bool:
        return True


class Dispatcher(_Module):
    """Sends notification records to receivers."""

    name = "dispatcher"
    title = "Dispatcher"
    module = "services.dispatcher"


class Pulse(_Module):
    """Keeps event time moving while no telemetry arrives."""

    name = "pulse"
    title = "Pulse"
    module = "services.pulse"


class Gateway(_Module):
    """The doors for telemetry."""

    name = "gateway"
    title = "Gateway"
    module = "services.gateway"
    port_name = "gateway-http"
    stop_timeout_s = 20.0

    def command(self) -> list[str]:
        doors = ("grpc", "http", "otlp-grpc", "otlp-http")
        return [*super().command(), *(f"--{door}-port={self.context.ports[f'gateway-{door}']}" for door in doors)]

    def healthy(self) -> bool:
        with urllib.request.urlopen(f"http://{HOST}:{self.port}/livez", timeout=2) as answer:
            return bool(answer.status == 200)
