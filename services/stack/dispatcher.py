"""The notification dispatcher as a supervised service."""

from __future__ import annotations

import sys

from services.stack.modules import importable
from services.stack.service import Service

MODULE = "services.dispatcher"


def available() -> bool:
    """Whether the dispatcher is installed and can be run as a module."""
    return importable(f"{MODULE}.__main__")


class Dispatcher(Service):
    """Sends notification records to receivers. It has no port; alive is healthy."""

    name = "dispatcher"
    title = "Dispatcher"
    needed = False

    def command(self) -> list[str]:
        return [sys.executable, "-m", MODULE]

    def healthy(self) -> bool:
        return True
