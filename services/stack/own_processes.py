"""The product's own processes beside the jobs, as supervised services."""

from __future__ import annotations

import sys

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
