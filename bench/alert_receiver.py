"""A web server that accepts every notification and counts what it was told, as a process of its own: `python -m bench.alert_receiver`.

Prints its port. `GET /` answers with how often each group was told that it fires: JSON of {"tenant_id|application_id": times}.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from http.client import HTTPConnection


class _Connection(asyncio.Protocol):
    """HTTP/1.1 with Content-Length, several requests a connection: all that our dispatcher and Alertmanager use."""

    def __init__(self, told: Counter[str]) -> None:
        self._told, self._buffer = told, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            lines = self._buffer[:end].decode("latin-1").split("\r\n")
            length = next((int(line.split(":")[1]) for line in lines if line.lower().startswith("content-length:")), 0)
            if len(self._buffer) < end + 4 + length:
                return
            body, self._buffer = self._buffer[end + 4 : end + 4 + length], self._buffer[end + 4 + length :]
            answer = b""
            if lines[0].startswith("GET"):
                answer = json.dumps(self._told).encode()
            else:
                self._note(json.loads(body))
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(answer), answer))

    def _note(self, message: dict[str, object]) -> None:
        labels = message["commonLabels"]
        assert isinstance(labels, dict)
        if message["status"] == "firing":
            self._told[f"{labels['tenant_id']}|{labels['application_id']}"] += 1


class Receiver:
    """The process, from outside. Use it in a `with` statement."""

    def __enter__(self) -> Receiver:
        self._process = subprocess.Popen([sys.executable, "-m", "bench.alert_receiver"], stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self._port = int(self._process.stdout.readline())
        self.url = f"http://127.0.0.1:{self._port}/"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(10)

    def told(self) -> Counter[str]:
        """How often each group was told that it fires."""
        connection = HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            connection.request("GET", "/")
            return Counter(json.loads(connection.getresponse().read()))
        finally:
            connection.close()


async def _serve() -> None:
    told: Counter[str] = Counter()
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(told), "127.0.0.1", 0, backlog=1000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve())
