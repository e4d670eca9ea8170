"""Rows of the gateway: how many events a second one process makes durable by each door, beside a bare producer of the same events.

`python -m bench.gateway` runs them against a Kafka of its own; `python -m bench --only gateway` against the bench's stack.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from confluent_kafka import Producer

from bench.gateway_client import EVENT_BYTES, KEYS
from bench.gateway_topic import TOPIC
from bench.row import Row
from services.stack.paths import project_root
from services.traffic.bulk import bulk_events

BATCH = 100
CONNECTIONS = 8
SECONDS = 12.0
LATENCY_RATE = 5_000
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
    settings = {"bootstrap.servers": bootstrap, "acks": "all", "enable.idempotence": True, "compression.type": "lz4", "linger.ms": 2}
    producer = Producer(settings | {"partitioner": "murmur2_random", "queue.buffering.max.messages": 1_000_000})
    confirmed = 0

    def count(error: object, _: object) -> None:
        nonlocal confirmed
        confirmed += error is None

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
            counted_from, before = time.perf_counter(), confirmed
    rate = (confirmed - before) / (time.perf_counter() - counted_from)
    producer.flush(60)
    return rate


def drive(pid: int, kind: str, url: str, seconds: float, connections: int, batch: int, rate: float = 0.0) -> dict[str, Any]:
    """One client run, with the gateway's CPU in seconds per million events and its memory in MiB."""
    process = psutil.Process(pid)
    before = process.cpu_times()
    command = [
        sys.executable,
        "-m",
        "bench.gateway_client",
        kind,
        url,
        str(seconds),
        str(connections),
        str(batch),
        *([str(rate)] if rate else []),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=project_root(), check=False)
    if done.returncode != 0:
        raise RuntimeError(f"the client failed: {done.stderr[-500:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    after = process.cpu_times()
    million = found["events_per_s"] * seconds / 1e6
    found["gateway_cpu_s_per_million"] = round((after.user + after.system - before.user - before.system) / max(million, 1e-9), 1)
    found["gateway_rss_mib"] = round(process.memory_info().rss / 2**20)
    return found


def run(row: Row, bootstrap: str, *, quick: bool = False, topic: str = TOPIC) -> Row:
    """All figures of the gateway."""
    seconds = 4.0 if quick else SECONDS
    bare = reference(bootstrap, topic, seconds)
    row.details["bare producer"] = {"events_per_s": round(bare)}
    with tempfile.TemporaryDirectory() as scratch, running_gateway(bootstrap, Path(scratch)) as (pid, ports):
        http, grpc = f"http://127.0.0.1:{ports['http']}", f"127.0.0.1:{ports['grpc']}"
        for name, kind, url in (
            ("http ndjson of 100", "http", http),
            ("grpc batches of 100", "grpc", grpc),
            ("otlp spans of 100", "otlp", http),
        ):
            found = drive(pid, kind, url, seconds, CONNECTIONS, BATCH)
            found["of bare"] = round(found["events_per_s"] / bare, 2)
            row.details[name] = found
        for kind, url in (("http", http), ("grpc", grpc)):
            for batch in LATENCY_BATCHES:
                row.details[f"{kind} batches of {batch} at {LATENCY_RATE}/s"] = drive(pid, kind, url, seconds, 32, batch, LATENCY_RATE)
    return row


def main() -> None:
    """Against a Kafka of its own."""
    from bench.report import render_details
    from tests.support.kafka import Broker

    with tempfile.TemporaryDirectory() as scratch:
        broker = Broker(Path(scratch))
        try:
            broker.topic(TOPIC)
            row = run(
                Row(name="gateway", what="events made durable by one gateway process", command="python -m bench.gateway"),
                broker.bootstrap,
                quick="--quick" in sys.argv,
            )
        finally:
            broker.kill()
    print(render_details(row.details))


if __name__ == "__main__":
    main()
