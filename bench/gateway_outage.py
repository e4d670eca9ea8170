"""Kafka killed for a minute behind a gateway under load, and the gateway itself killed in the middle: is every acknowledged event in Kafka?

`python -m bench.gateway_outage` starts a broker and a gateway of its own. Clients send 5,000 events/s by HTTP, and send again what is not
acknowledged. The broker is killed (-9) after 15 s and started again on its data `--outage-s` later; half-way the gateway is killed (-9) and started
again on its overflow. In the end the topic is read: each acknowledged event must be there, and the events of a key, taken once by their ids, in the
order in which they were sent. Exit code 1 when they are not.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psutil

from bench.figures import summary
from bench.gateway_load import Acknowledged, Load
from bench.gateway_topic import TOPIC, Stored, stored
from tests.support.gateways import GatewayProcess
from tests.support.kafka import Broker
from tests.support.waiting import wait_for

QUIET_S = 15.0
ROWS = 15


class Sample(NamedTuple):
    """One second: since the load began, events acknowledged so far, and the gateway's levels (None while it does not answer)."""

    at_s: float
    acknowledged: int
    rss_mib: float | None
    pss_mib: float | None
    memory_events: int | None
    overflow_events: int | None
    disk_mib: float
    segments: int


class Watch(threading.Thread):
    """Samples once a second until `stop`."""

    def __init__(self, gateway: GatewayProcess, load: Load) -> None:
        super().__init__(daemon=True)
        self._gateway, self._load, self._ended = gateway, load, threading.Event()
        self.samples: list[Sample] = []

    def run(self) -> None:
        """The thread."""
        while not self._ended.wait(1.0 - time.monotonic() % 1.0):
            if self._load.began_s:
                self.samples.append(self._sample())

    def stop(self) -> None:
        """Takes no more samples."""
        self._ended.set()
        self.join(10)

    def _sample(self) -> Sample:
        at_s, acknowledged = time.monotonic() - self._load.began_s, self._load.events_acknowledged
        files = [(path.suffix, path.stat().st_size) for path in _present(self._gateway.overflow)]
        disk = sum(size for _, size in files) / 2**20, sum(suffix == ".sqlite" for suffix, _ in files)
        try:
            values = self._gateway.metrics()
            memory = psutil.Process(self._gateway.process.pid).memory_full_info()
        except (httpx.HTTPError, psutil.Error):
            return Sample(at_s, acknowledged, None, None, None, None, *disk)
        levels = int(values["sentinel_gateway_buffer_events"]), int(values["sentinel_gateway_overflow_events"])
        return Sample(at_s, acknowledged, memory.rss / 2**20, memory.pss / 2**20, *levels, *disk)


def _present(folder: Path) -> Iterator[Path]:
    """Files that did not vanish while they were listed."""
    return (path for path in folder.glob("*.sqlite*") if path.exists()) if folder.exists() else iter(())


def outage(home: Path, rate: float, seconds: float, outage_s: float, kill_again: bool) -> dict[str, Any]:
    """The whole run; what was seen."""
    broker = Broker(home / "kafka")
    try:
        broker.topic(TOPIC)
        gateway = GatewayProcess(broker.bootstrap, home / "gateway")
        try:
            return _run(broker, gateway, rate, seconds, outage_s, kill_again)
        finally:
            gateway.process.kill()
    finally:
        broker.kill()


def _run(broker: Broker, gateway: GatewayProcess, rate: float, seconds: float, outage_s: float, kill_again: bool) -> dict[str, Any]:
    load = Load(gateway.url, rate, seconds)
    watch = Watch(gateway, load)
    marks: dict[str, float] = {}

    def mark(name: str) -> None:
        marks[name] = round(time.monotonic() - load.began_s, 1)
        print(f"  {marks[name]:6.1f} s: {name}", file=sys.stderr)

    def until(at_s: float) -> None:
        time.sleep(max(0.0, load.began_s + at_s - time.monotonic()))

    load.start()
    watch.start()
    wait_for(lambda: load.began_s, 10, "the load to begin", pause_s=0.01)
    until(QUIET_S)
    broker.kill()
    mark("broker killed")
    until(QUIET_S + outage_s / 2)
    gateway.kill()
    mark("gateway killed")
    gateway.start()
    mark("gateway up")
    until(QUIET_S + outage_s)
    broker.restart()
    mark("broker up")
    if kill_again:
        wait_for(lambda: gateway.metric("sentinel_gateway_overflow_drained_events_total"), 60, "the drain to begin", pause_s=0.02)
        gateway.kill()
        mark("gateway killed while draining")
        gateway.start()
    wait_for(lambda: gateway.metric("sentinel_gateway_spilling") == 0, 600, "the overflow to drain", pause_s=0.2)
    mark("drained")
    load.finish(seconds + 120)
    mark("all acknowledged")
    wait_for(lambda: gateway.metric("sentinel_gateway_spilling") == 0, 600, "the overflow to be empty", pause_s=0.2)
    watch.stop()
    corrupt = gateway.metric("sentinel_gateway_overflow_corrupt_total")
    gateway.stop()
    verdict = judged(load.acknowledged, stored(broker.bootstrap)) | {"corrupt_batches": corrupt, "tried_again": dict(load.tried_again)}
    waits = {name: waits_ms(load.acknowledged, load.began_s, *span) for name, span in _phases(marks).items()}
    return {"marks_s": marks, "verdict": verdict, "acknowledged_after_ms": waits, "samples": watch.samples}


def _phases(marks: dict[str, float]) -> dict[str, tuple[float, float]]:
    return {
        "before": (0.0, marks["broker killed"]),
        "without Kafka": (marks["broker killed"], marks["broker up"]),
        "draining": (marks["broker up"], marks["drained"]),
        "after": (marks["drained"], float("inf")),
    }


def waits_ms(acknowledged: list[Acknowledged], began_s: float, first_s: float, last_s: float) -> dict[str, float]:
    """From the time at which a batch was due to its acknowledgement, for those that were due in the span."""
    found = [(one.at_s - one.due_s) * 1000 for one in acknowledged if first_s <= one.due_s - began_s < last_s]
    return {name: round(value, 1) for name, value in summary(found).items()}


def judged(acknowledged: list[Acknowledged], found: Stored) -> dict[str, Any]:
    """Acknowledged against stored; `good` says that the promise was kept."""
    promised = {event_id for one in acknowledged for event_id in one.event_ids}
    missing = promised - found.event_ids
    return {
        "acknowledged": len(promised),
        "records": found.records,
        "repeated": found.records - len(found.event_ids),
        "once after dedup": len(found.event_ids),
        "never acknowledged": len(found.event_ids - promised),
        "missing": len(missing),
        "missing, first": sorted(missing)[:5],
        "keys out of order": found.disordered_keys[:5],
        "good": not missing and not found.disordered_keys,
    }


def curve(samples: list[Sample], marks: dict[str, float]) -> str:
    """The samples as a table of some 15 rows: rates are means, memory and buffer the highest, the disk as it was at the row's end."""
    step = max(1, -(-len(samples) // ROWS))
    lines = [
        "| Until, s | Acknowledged/s | RSS, MiB | PSS, MiB | In memory, events | On disk, events | On disk, MiB | Segments | |",
        "|--:|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    before = Sample(0.0, 0, None, None, None, None, 0.0, 0)
    for at in range(0, len(samples), step):
        part = samples[at : at + step]
        last = part[-1]
        rate = (last.acknowledged - before.acknowledged) / (last.at_s - before.at_s)
        happened = ", ".join(name for name, at_s in marks.items() if before.at_s < at_s <= last.at_s)
        cells = [
            f"{last.at_s:.0f}",
            f"{rate:,.0f}",
            *map(_most, zip(*((one.rss_mib, one.pss_mib, one.memory_events) for one in part), strict=True)),
        ]
        cells += [_most(one.overflow_events for one in part[-1:]), f"{last.disk_mib:,.0f}", str(last.segments), happened]
        lines.append("| " + " | ".join(cells) + " |")
        before = last
    return "\n".join(lines)


def _most(values: Any) -> str:
    known = [value for value in values if value is not None]
    return f"{max(known):,.0f}" if known else "–"


def main() -> int:
    """Prints the curve and the verdict."""
    parser = argparse.ArgumentParser(prog="python -m bench.gateway_outage", description=__doc__)
    parser.add_argument("--rate", type=float, default=5_000, help="events per second")
    parser.add_argument("--outage-s", type=float, default=60, help="how long the broker is away")
    parser.add_argument("--seconds", type=float, help=f"how long events are made; default: {QUIET_S:g}, the outage, and 45")
    parser.add_argument("--kill-again", action="store_true", help="kill the gateway a second time when it has begun to drain")
    parser.add_argument("--out", type=Path, help="the JSON with every sample")
    given = parser.parse_args()
    seconds = given.seconds or QUIET_S + given.outage_s + 45
    if seconds < QUIET_S + given.outage_s:
        parser.error(f"--seconds: expected at least {QUIET_S + given.outage_s:g}, the end of the outage, found {seconds:g}")
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as scratch:
        found = outage(Path(scratch), given.rate, seconds, given.outage_s, given.kill_again)
    if given.out is not None:
        given.out.write_text(json.dumps(found | {"samples": [one._asdict() for one in found["samples"]]}))
    print(curve(found.pop("samples"), found["marks_s"]))
    print(json.dumps(found | {"cores": os.cpu_count(), "load_before": round(load_before, 1)}, indent=1))
    return 0 if found["verdict"]["good"] else 1


if __name__ == "__main__":
    sys.exit(main())
