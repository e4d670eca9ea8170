"""Rows of the gateway: how many events a second one process makes durable by each door, beside a bare producer of the same events.

`python -m bench.gateway` runs them against a Kafka of its own (`--only rates` or `latencies`: a part); `python -m bench --only gateway` against the
bench's stack.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from confluent_kafka import Producer

from bench.gateway_client import EVENT_BYTES, KEYS
from bench.gateway_floor import PRODUCER, answering_server, confirmed
from bench.gateway_topic import TOPIC
from bench.row import Row
from services.stack.paths import project_root
from services.traffic.bulk import bulk_events

BATCH = 100
CONNECTIONS = 8
SECONDS = 10.0
LATENCY_RATE = 5_000
CONNECTIONS_PACED = 32
LATENCY_BATCHES = (10, 100)
CONFIG = "ingestion: {rateLimiting: {maxEventsPerSecond: 10000000, burstSize: 10000000}}\n"


@contextmanager
def running_gateway(bootstrap: str, folder: Path) -> Iterator[tuple[int, dict[str, int]]]:
    """A gateway process; its id and ports."""
    config = folder / "gateway.yaml"
    config.write_text(CONFIG)
    command = [
        sys.executable,
        "-m",
        "services.cli.main",
        "gateway",
        "--config",
        str(config),
        "--bootstrap",
        bootstrap,
        "--data",
        str(folder),
    ]
    command += [part for door in ("grpc", "http", "otlp-grpc", "otlp-http") for part in (f"--{door}-port", "0")]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, cwd=project_root(), env=os.environ | {"PYTHONPATH": str(project_root())}
    ) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if b'"started"' in line:
                    break
            else:
                raise RuntimeError(f"the gateway ended with {process.wait()} before it had started")
            yield process.pid, json.loads(line)["ports"]
        finally:
            process.terminate()


def reference(bootstrap: str, topic: str, seconds: float) -> float:
    """Events per second of a bare confluent-kafka producer with the gateway's settings: no check, one process, a callback for every record.

    It runs for the given time, after a start that does not count; at most 20,000 records are unconfirmed, about what the clients of the gateway have.
    """
    events = bulk_events(20_000, keys=KEYS, event_bytes=EVENT_BYTES, start_ms=int(time.time() * 1000) - 60_000, rate=1e6)
    values = [(key, value) for _, key, value in events]
    producer = Producer(PRODUCER | {"bootstrap.servers": bootstrap, "queue.buffering.max.messages": 1_000_000})
    taken = 0

    def count(error: object, _: object) -> None:
        nonlocal taken
        taken += error is None

    began = counted_from = time.perf_counter()
    before = 0
    while time.perf_counter() - began < seconds:
        for key, value in values[:1_000]:
            producer.produce(topic, value, key, on_delivery=count)
        values = values[1_000:] + values[:1_000]
        producer.poll(0)
        while len(producer) > 20_000:
            producer.poll(0.01)
        if not before and time.perf_counter() - began > seconds / 5:
            counted_from, before = time.perf_counter(), taken
    rate = (taken - before) / (time.perf_counter() - counted_from)
    producer.flush(60)
    return rate


def client(kind: str, url: str, seconds: float, connections: int, batch: int, rate: float = 0.0) -> dict[str, Any]:
    """One client run. Raises RuntimeError when it fails."""
    command = [sys.executable, "-m", "bench.gateway_client", kind, url, str(seconds), str(connections), str(batch)]
    done = subprocess.run([*command, *([str(rate)] if rate else [])], capture_output=True, text=True, cwd=project_root(), check=False)
    if done.returncode != 0:
        raise RuntimeError(f"the client failed: {done.stderr[-500:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def drive(pid: int, kind: str, url: str, seconds: float, connections: int, batch: int, rate: float = 0.0) -> dict[str, Any]:
    """One client run, with the gateway's CPU in seconds per million events and its memory in MiB."""
    process = psutil.Process(pid)
    before = process.cpu_times()
    found = client(kind, url, seconds, connections, batch, rate)
    after = process.cpu_times()
    million = found["events_per_s"] * seconds / 1e6
    found["gateway_cpu_s_per_million"] = round((after.user + after.system - before.user - before.system) / max(million, 1e-9), 1)
    found["gateway_rss_mib"] = round(process.memory_info().rss / 2**20)
    return found


def latencies(row: Row, bootstrap: str, topic: str, pid: int, http: str, grpc: str, seconds: float) -> None:
    """Acknowledgement at a steady rate, beside its floors."""
    for batch in LATENCY_BATCHES:
        pace = f"batches of {batch} at {LATENCY_RATE}/s"
        with answering_server() as url:
            row.details[f"client alone, {pace}"] = client("http", url, seconds, CONNECTIONS_PACED, batch, LATENCY_RATE)
        row.details[f"bare producer, {pace}"] = {"ack_ms": confirmed(bootstrap, topic, seconds, batch, LATENCY_RATE)}
        for kind, url in (("http", http), ("grpc", grpc)):
            row.details[f"{kind}, {pace}"] = drive(pid, kind, url, seconds, CONNECTIONS_PACED, batch, LATENCY_RATE)


def rates(row: Row, bootstrap: str, topic: str, pid: int, http: str, grpc: str, seconds: float) -> None:
    """As many events as the gateway takes, beside a bare producer."""
    bare = reference(bootstrap, topic, seconds)
    row.details["bare producer"] = {"events_per_s": round(bare)}
    for name, kind, url in (
        ("http ndjson of 100", "http", http),
        ("grpc batches of 100", "grpc", grpc),
        ("otlp spans of 100", "otlp", http),
    ):
        found = drive(pid, kind, url, seconds, CONNECTIONS, BATCH)
        found["of bare"] = round(found["events_per_s"] / bare, 2)
        row.details[name] = found


PARTS = {"rates": rates, "latencies": latencies}


def run(row: Row, bootstrap: str, *, quick: bool = False, topic: str = TOPIC, parts: Iterable[str] = tuple(PARTS)) -> Row:
    """All figures of the gateway, or some parts."""
    seconds = 4.0 if quick else SECONDS
    with tempfile.TemporaryDirectory() as scratch, running_gateway(bootstrap, Path(scratch)) as (pid, ports):
        for part in parts:
            PARTS[part](row, bootstrap, topic, pid, f"http://127.0.0.1:{ports['http']}", f"127.0.0.1:{ports['grpc']}", seconds)
    return row


def main() -> None:
    """Against a Kafka of its own."""
    from bench.report import render_details
    from tests.support.kafka import Broker

    parser = argparse.ArgumentParser(prog="python -m bench.gateway", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="4 s a figure")
    parser.add_argument("--only", choices=PARTS, help="one part")
    given = parser.parse_args()
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as scratch:
        broker = Broker(Path(scratch))
        try:
            broker.topic(TOPIC)
            row = run(
                Row(name="gateway", what="events made durable by one gateway process", command="python -m bench.gateway"),
                broker.bootstrap,
                quick=given.quick,
                parts=[given.only] if given.only else tuple(PARTS),
            )
        finally:
            broker.kill()
    print(render_details(row.details))
    print(f"load before: {load_before:.1f} on {os.cpu_count()} cores", file=sys.stderr)


if __name__ == "__main__":
    main()
