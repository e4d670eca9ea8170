"""uvicorn with what it lacks against slow clients: a request whose head is not complete in time loses its connection."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_TIMEOUT_S = 10.0
MAX_CONNECTIONS = 2_000
MAX_HEAD_BYTES = 65_536


class _ImpatientProtocol(HttpToolsProtocol):
    """Closes a connection that says nothing, or not enough, at its beginning."""

    _head_timer: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._too_slow)

    def data_received(self, data: bytes) -> None:
        if self._head_timer is not None:
            # What came before belongs to a head that is not complete yet.
            if self._head_bytes > MAX_HEAD_BYTES:
                self._too_slow()
                return
            self._head_bytes += len(data)
        super().data_received(data)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes = 0
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._too_slow)

    def on_headers_complete(self) -> None:
        self._stop_timer()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _too_slow(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.close()


class HttpServer:
    """Serves one application on a socket inside the running event loop, without taking over its signals."""

    def __init__(self, application: Any, bound: socket.socket, certificate: tuple[str, str] | None = None) -> None:
        config = uvicorn.Config(
            application,
            http=_ImpatientProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=30,
            limit_concurrency=MAX_CONNECTIONS,
            h11_max_incomplete_event_size=16_384,
            ssl_certfile=certificate[0] if certificate else None,
            ssl_keyfile=certificate[1] if certificate else None,
            ssl_version=ssl.PROTOCOL_TLS_SERVER,
            timeout_graceful_shutdown=5,
        )
        self._server = uvicorn.Server(config)
        self._socket = bound
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listens when this returns."""
        self._task = asyncio.get_running_loop().create_task(self._server._serve(sockets=[self._socket]))
        while not self._server.started:
            if self._task.done():
                await self._task
                raise RuntimeError("the HTTP server ended while it was starting")
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Finishes what is under way."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task
