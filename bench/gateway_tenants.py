"""Two tenants with a limit each, one sending twenty times as much: does the other one notice?

`python -m bench.gateway_tenants` starts a broker and a gateway of its own. Each tenant has a token and a limit of 500 events/s. The quiet one
sends just under it, first alone, then beside the noisy one, which takes no notice of being refused. By HTTP and by gRPC; each client is a process.
Exit code 1 when an event of the quiet tenant was refused, or acknowledged and is not in Kafka.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from itertools import count
from pathlib import Path
from typing import Any

from bench.gateway_topic import TOPIC, stored
from services.stack.paths import project_root
from tests.support.gateways import GatewayProcess
from tests.support.kafka import Broker

LIMIT = 500
QUIET = {"rate": 0.9 * LIMIT, "batch": 10, "connections": 4}
NOISY = {"rate": 20.0 * LIMIT, "batch": 100, "connections": 8}
DOORS = ("http", "grpc")
_seeds = count(1)
"""A client's own, so that no event id comes twice."""


def configuration() -> str:
    """A token for each tenant, and the limit."""
    tokens = [{"tenants": [tenant], "sha256": hashlib.sha256(_token(tenant).encode()).hexdigest()} for tenant in ("quiet", "noisy")]
    limits = {"maxEventsPerSecond": LIMIT, "burstSize": LIMIT}
    return json.dumps({"ingestion": {"authentication": {"tokens": tokens}, "rateLimiting": limits}})


def _token(tenant: str) -> str:
    return f"bench-token-of-{tenant}"


class Client:
    """One tenant's client under way."""

    def __init__(self, door: str, gateway: GatewayProcess, tenant: str, pace: dict[str, float], seconds: float) -> None:
        address = gateway.url if door == "http" else f"127.0.0.1:{gateway.grpc_port}"
        command = [sys.executable, "-m", "bench.gateway_tenant_client", door, address, tenant, _token(tenant)]
        command += [str(pace["rate"]), str(pace["batch"]), str(pace["connections"]), str(seconds), str(next(_seeds))]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=project_root())

    def found(self) -> dict[str, Any]:
        """What it counted, when it is done. Raises RuntimeError when it failed."""
        output, _ = self._process.communicate(timeout=300)
        if self._process.returncode != 0:
            raise RuntimeError(f"a client ended with {self._process.returncode}")
        found: dict[str, Any] = json.loads(output)
        return found


def measure(home: Path, seconds: float) -> dict[str, dict[str, dict[str, Any]]]:
    """By door: the quiet tenant alone and beside the noisy one, and the noisy one. The quiet ones say how many acknowledged events are missing."""
    broker = Broker(home / "kafka")
    try:
        broker.topic(TOPIC)
        gateway = GatewayProcess(broker.bootstrap, home / "gateway", configuration())
        try:
            rows: dict[str, dict[str, dict[str, Any]]] = {}
            for door in DOORS:
                alone = Client(door, gateway, "quiet", QUIET, seconds).found()
                noisy, quiet = (Client(door, gateway, tenant, pace, seconds) for tenant, pace in (("noisy", NOISY), ("quiet", QUIET)))
                rows[door] = {"quiet, alone": alone, "quiet, beside noisy": quiet.found(), "noisy": noisy.found()}
                print(f"  {door} done", file=sys.stderr)
            gateway.stop()
        finally:
            gateway.process.kill()
        there = stored(broker.bootstrap).event_ids
    finally:
        broker.kill()
    for row in (row for by_name in rows.values() for row in by_name.values()):
        row["missing"] = len(set(row.pop("acknowledged_ids")) - there)
    return rows


def table(rows: dict[str, dict[str, dict[str, Any]]]) -> str:
    """One line a client; the ratio is that of the quiet tenant beside the noisy one to itself alone."""
    lines = [
        "| Door | Tenant | Sent | Acknowledged | Refused | Lost | p50, ms | p99, ms | p99 of alone |",
        "|---|---|--:|--:|---|--:|--:|--:|--:|",
    ]
    for door, by_name in rows.items():
        alone = by_name["quiet, alone"]["ack_ms"]["p99"]
        for name, row in by_name.items():
            refused = ", ".join(f"{count:,} {status}" for status, count in row["refused"].items()) or "0"
            ack = row["ack_ms"]
            cells = [
                door,
                name,
                f"{row['sent']:,}",
                f"{row['acknowledged']:,}",
                refused,
                str(row["missing"]),
                str(ack["p50"]),
                str(ack["p99"]),
            ]
            lines.append("| " + " | ".join([*cells, f"{ack['p99'] / alone:.1f}" if name.startswith("quiet") else ""]) + " |")
    return "\n".join(lines)


def main() -> int:
    """Prints the table and JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.gateway_tenants", description=__doc__)
    parser.add_argument("--seconds", type=float, default=15, help="length of each of the four phases")
    given = parser.parse_args()
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as scratch:
        rows = measure(Path(scratch), given.seconds)
    print(table(rows))
    print(json.dumps(rows | {"cores": os.cpu_count(), "load_before": round(load_before, 1)}))
    spared = all(
        not row["missing"] and not row["refused"] for by_name in rows.values() for name, row in by_name.items() if name.startswith("quiet")
    )
    return 0 if spared else 1


if __name__ == "__main__":
    sys.exit(main())
