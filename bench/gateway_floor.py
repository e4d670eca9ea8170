"""What a latency of the gateway cannot be below here: the client's own part, and Kafka's.

`python -m bench.gateway_floor` is a server that answers every POST at once and prints its port; the gateway's client drives it at the same pace.
`confirmed` is a bare producer at that pace, in which nothing is between the events and Kafka.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvloop
from confluent_kafka import Producer

from bench.figures import summary
from bench.gateway_client import raw_batches
from services.stack.paths import project_root

PRODUCER = {"acks": "all", "enable.idempotence": True, "compression.type": "lz4", "linger.ms": 2, "partitioner": "murmur2_random"}
"""As the gateway's."""
_ANSWER = b'HTTP/1.1 202 Accepted\r\ncontent-length: 16\r\n\r\n{"accepted":100}'


class _AnswersAtOnce(asyncio.Protocol):
    """Counts the bytes of the body and looks at nothing else."""

    def __init__(self) -> None:
        self._head, self._left = b"", 0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if not self._left:
            self._head += data
            head, end, rest = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            self._head, self._left = b"", int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            data = rest
        self._left -= len(data)
        if not self._left:
            self._transport.write(_ANSWER)


@contextmanager
def answering_server() -> Iterator[str]:
    """The server in a process of its own; its URL."""
    with subprocess.Popen([sys.executable, "-m", "bench.gateway_floor"], stdout=subprocess.PIPE, cwd=project_root()) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


def confirmed(bootstrap: str, topic: str, seconds: float, batch: int, rate: float) -> dict[str, float]:
    """Milliseconds from the time at which a batch was due until Kafka had confirmed its last record; the first fifth warms up and does not count."""
    bodies = raw_batches(batch)
    producer = Producer(PRODUCER | {"bootstrap.servers": bootstrap})
    latencies: list[float] = []
    began = time.perf_counter()

    def on_last(due: float, left: list[int]) -> Any:
        def one(error: object, _: object) -> None:
            left[0] -= 1
            if error is None and left[0] == 0 and due > began + seconds / 5:
                latencies.append((time.perf_counter() - due) * 1000)

        return one

    number = 0
    while (due := began + number * batch / rate) < began + seconds:
        while (wait := due - time.perf_counter()) > 0:
            producer.poll(wait)
        on_delivery = on_last(due, [batch])
        for value in bodies[number % len(bodies)]:
            producer.produce(topic, value, b"bench|floor-%d" % (number % 20), on_delivery=on_delivery)
        number += 1
    producer.flush(30)
    return summary(latencies)


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_AnswersAtOnce, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve())
