"""Sidecars beside the test, and real gateways for them to send to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.door_fixtures import broker, common_doors, doors, loop, open_doors
from tests.support.sidecars import Beside, OpenSidecar, settings_of

__all__ = ["broker", "common_doors", "doors", "loop", "open_doors"]


@pytest.fixture
def open_sidecar(loop: asyncio.AbstractEventLoop) -> Iterator[OpenSidecar]:
    """Opens sidecars; closes them after the test, without waiting for what they hold."""
    opened: list[Beside] = []

    def start(endpoint: str, **sections: Any) -> Beside:
        opened.append(Beside(settings_of(endpoint, sections), loop))
        return opened[-1]

    yield start
    for one in opened:
        one.close(grace_s=0.0)
