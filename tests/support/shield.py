"""A real gRPC server beside a test: the reference Shield on a free port."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from services.shield.server import ReferenceShield, start


class RunningShield:
    """The reference Shield on an event loop of its own thread, so that tests may run loops of theirs."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.shift_s = 0.0
        self.shield = ReferenceShield(self.events.append, clock=self._clock)
        self._loop = asyncio.new_event_loop()
        self._server: grpc.aio.Server | None = None
        self.port = 0
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def _clock(self) -> float:
        return time.time() + self.shift_s

    @property
    def endpoint(self) -> str:
        return f"grpc://127.0.0.1:{self.port}"

    def start(self) -> None:
        async def begin() -> None:
            self._server, self.port = await start(self.shield, port=self.port)

        asyncio.run_coroutine_threadsafe(begin(), self._loop).result(20)

    def stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            asyncio.run_coroutine_threadsafe(server.stop(None), self._loop).result(20)

    def close(self) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)


@contextmanager
def running_shield() -> Iterator[RunningShield]:
    """A Shield that listens, and is gone afterwards."""
    running = RunningShield()
    running.start()
    try:
        yield running
    finally:
        running.close()
