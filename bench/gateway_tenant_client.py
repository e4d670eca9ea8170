"""One tenant's client in a process of its own, for `bench.gateway_tenants`: keeps its pace whatever it is answered, and never sends a batch twice.

`python -m bench.gateway_tenant_client DOOR ADDRESS TENANT TOKEN RATE BATCH CONNECTIONS SECONDS SEED` prints one JSON line.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from typing import Any

import uvloop

from bench.figures import summary
from bench.gateway_client import TAKEN, SendOne, grpc_sender, http_sender, protobuf_batch, raw_batches

WARM_UP = 0.2


async def run(
    door: str, address: str, tenant: str, token: str, rate: float, batch: int, connections: int, seconds: float, seed: int
) -> dict[str, Any]:
    """Events sent, acknowledged and refused, and how long acknowledgements took (ms since the batch was due; the first fifth warms up)."""
    batches = [[_of(tenant, value) for value in values] for values in raw_batches(batch, round(rate * seconds / batch), seed)]
    bodies = [protobuf_batch(values) for values in batches] if door == "grpc" else [b"\n".join(values) for values in batches]
    ready: list[SendOne] = []
    for _ in range(connections):
        if door == "grpc":
            ready.append(await grpc_sender(address, bodies, token))
        else:
            ready.append(await http_sender(address, "/api/v1/telemetry/events", "application/x-ndjson", bodies, token))
    answers: Counter[str] = Counter()
    latencies: list[float] = []
    acknowledged: list[str] = []
    began = time.perf_counter()

    async def work(place: int, send: SendOne) -> None:
        for number in range(place, len(bodies), connections):
            due = began + number * batch / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            status = await send(number)
            answers[status] += batch
            if status in TAKEN:
                acknowledged.extend(json.loads(value)["event_id"] for value in batches[number])
                if due > began + WARM_UP * seconds:
                    latencies.append((time.perf_counter() - due) * 1000)

    await asyncio.gather(*(work(place, send) for place, send in enumerate(ready)))
    return {
        "sent": len(bodies) * batch,
        "acknowledged": len(acknowledged),
        "refused": {status: count for status, count in answers.items() if status not in TAKEN},
        "ack_ms": {name: round(value, 1) for name, value in summary(latencies).items()},
        "seconds": round(time.perf_counter() - began, 1),
        "acknowledged_ids": acknowledged,
    }


def _of(tenant: str, value: bytes) -> bytes:
    before, _, rest = value.partition(b'"tenant_id":"')
    return before + b'"tenant_id":"' + tenant.encode() + b'"' + rest.partition(b'"')[2]


def main() -> None:
    """See the module."""
    door, address, tenant, token, rate, batch, connections, seconds, seed = sys.argv[1:10]
    print(json.dumps(uvloop.run(run(door, address, tenant, token, float(rate), int(batch), int(connections), float(seconds), int(seed)))))


if __name__ == "__main__":
    main()
