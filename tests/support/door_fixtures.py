"""Fixtures: gateways with open doors in a thread of the test, in front of a real Kafka. A conftest imports those that its tests want."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from sentinel.config.model import SentinelConfig
from services.gateway.journal import BufferLimits
from services.gateway.service import RunningGateway
from services.gateway.settings import Ports
from tests.support.doors import Doors, OpenDoors
from tests.support.kafka import Broker, free_port, running

_numbers = count()


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with running(Broker, tmp_path_factory.mktemp("gateway-kafka")) as started:
        yield started


@pytest.fixture(scope="session")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop in a thread."""
    started = asyncio.new_event_loop()
    thread = threading.Thread(target=started.run_forever, daemon=True)
    thread.start()
    yield started
    started.call_soon_threadsafe(started.stop)
    thread.join(10)
    started.close()


def _open(
    bootstrap: str,
    loop: asyncio.AbstractEventLoop,
    folder: Path,
    config: dict[str, Any],
    limits: BufferLimits | None,
    name: str,
    *,
    live_config: bool = False,
    grpc_port: int = 0,
    http_port: int = 0,
) -> Doors:
    starting = RunningGateway.start(
        SentinelConfig.model_validate(config),
        {"bootstrap.servers": bootstrap},
        folder / name,
        ports=Ports(grpc_port, http_port, 0, 0),
        topic=name,
        limits=limits,
        live_config=live_config,
    )
    return Doors(asyncio.run_coroutine_threadsafe(starting, loop).result(30), loop, bootstrap, name)


@pytest.fixture
def open_doors(broker: Broker, loop: asyncio.AbstractEventLoop, tmp_path: Path) -> Iterator[OpenDoors]:
    """Opens doors with the given section `ingestion` (and others by name); closes them after the test."""
    opened: list[Doors] = []

    def start(
        ingestion: dict[str, Any] | None = None,
        *,
        limits: BufferLimits | None = None,
        live_config: bool = False,
        grpc_port: int = 0,
        http_port: int = 0,
        **sections: Any,
    ) -> Doors:
        topic, config = broker.topic(f"doors-{next(_numbers)}", partitions=2), {"ingestion": ingestion or {}, **sections}
        ports = {"grpc_port": grpc_port, "http_port": http_port}
        opened.append(_open(broker.bootstrap, loop, tmp_path, config, limits, topic, live_config=live_config, **ports))
        return opened[-1]

    yield start
    for doors in opened:
        doors.close()


@pytest.fixture(scope="session")
def common_doors(broker: Broker, loop: asyncio.AbstractEventLoop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    opened = _open(broker.bootstrap, loop, tmp_path_factory.mktemp("doors"), {}, None, broker.topic("doors", partitions=2))
    yield opened
    opened.close()


@pytest.fixture
def doors(common_doors: Doors) -> Doors:
    """Open doors with defaults, the same for all tests; each sees only what came since it began."""
    common_doors.begin()
    return common_doors


@pytest.fixture
def lonely_doors(loop: asyncio.AbstractEventLoop, tmp_path: Path) -> Iterator[OpenDoors]:
    """As `open_doors`, with no Kafka behind them."""
    opened: list[Doors] = []

    def start(ingestion: dict[str, Any] | None = None, *, limits: BufferLimits | None = None) -> Doors:
        opened.append(_open(f"127.0.0.1:{free_port()}", loop, tmp_path, {"ingestion": ingestion or {}}, limits, f"lonely-{len(opened)}"))
        return opened[-1]

    yield start
    for doors in opened:
        doors.close()
