"""What a consumer sees of a change under traffic: which place of the job judged by the old, which by the new."""

from __future__ import annotations

import threading
import time
import uuid
from typing import Any, NamedTuple

import msgspec
from confluent_kafka import Consumer

from sentinel.panes import shard_of
from sentinel.timestamps import from_rfc3339

SETTLED_S = 15.0
"""After a change: from here on nothing may be judged by the old. A window and the 10 s between two judgements of a model are over by then."""


class Finding(NamedTuple):
    """One first record of an anomaly. `place`: the partition of the event, else the shard; times in epoch seconds."""

    detector: str
    by: str
    """The limit, the pattern or the model that found it."""
    place: str
    judged: float
    """Time of the event, or the end of the window."""
    written: float


class Change(NamedTuple):
    """One change and the detectors that show it, as (detector, old, new)."""

    what: str
    command: str
    began: float
    configured: float
    judged: tuple[tuple[str, str, str], ...]


class LiveWatcher(threading.Thread):
    """Consumes telemetry, configuration and anomalies from their ends on."""

    def __init__(self, bootstrap: str) -> None:
        super().__init__(name="bench-live-watcher", daemon=True)
        self._ready, self._stop_now = threading.Event(), threading.Event()
        self._events: dict[str, tuple[int, float]] = {}
        self._configured: list[float] = []
        self._records: list[tuple[float, dict[str, Any]]] = []
        settings = {"bootstrap.servers": bootstrap, "group.id": f"bench-live-{uuid.uuid4().hex[:8]}", "auto.offset.reset": "latest"}
        self._consumer = Consumer(settings | {"enable.auto.commit": False, "isolation.level": "read_committed"})
        self._consumer.subscribe(["llm-anomalies", "llm-telemetry", "sentinel-config"], on_assign=lambda *_: self._ready.set())

    def start(self) -> None:
        """Returns once the partitions are assigned; raises SystemExit after 30 s without."""
        super().start()
        if not self._ready.wait(30):
            raise SystemExit("bench: the consumer got no partitions within 30 s")
        # The ends are looked up with the first fetch.
        time.sleep(2.0)

    def run(self) -> None:
        while not self._stop_now.is_set():
            message = self._consumer.poll(0.2)
            if message is None or message.error() is not None or not (value := message.value()):
                continue
            made = message.timestamp()[1] / 1000
            if message.topic() == "sentinel-config":
                self._configured.append(made)
            elif message.topic() == "llm-anomalies":
                self._records.append((time.time(), msgspec.json.decode(value)))
            elif value.startswith(b"{"):
                # What is no JSON is a pulse.
                self._events[str(msgspec.json.decode(value)["event_id"])] = (int(message.partition() or 0), made)
        self._consumer.close()

    def configured_since(self, since: float) -> float:
        """When the next configuration was written. Raises SystemExit when none was within 20 s."""
        deadline = time.time() + 20
        while time.time() < deadline:
            if found := [at for at in self._configured if at >= since]:
                return found[0]
            time.sleep(0.05)
        raise SystemExit("bench: no configuration was published within 20 s")

    def stop(self) -> list[Finding]:
        """Everything that was found, in the order of writing."""
        self._stop_now.set()
        self.join(10)
        found = (_finding(record, written, self._events) for written, record in self._records if not record["update"])
        return [finding for finding in found if finding is not None]


def _finding(record: dict[str, Any], written: float, events: dict[str, tuple[int, float]]) -> Finding | None:
    samples = [events[name] for name in record["context"]["sample_events"] if name in events]
    by = record["labels"].get("model_version") or ""
    if "matches pattern " in record["description"]:
        by = record["description"].partition("matches pattern ")[2].partition(":")[0]
    elif not by and "threshold" in record["metrics"]:
        by = f"{record['metrics']['threshold']:g}"
    if record["labels"].get("strategy"):
        place = f"shard {shard_of(record['tenant_id'], record['application_id'])}"
        return Finding(record["detector_id"], by, place, from_rfc3339(record["context"]["window_end"]) / 1000, written)
    if not samples:
        return None
    partition, judged = max(samples, key=lambda sample: sample[1])
    return Finding(record["detector_id"], by, f"partition {partition}", judged, written)


def render(changes: list[Change], findings: list[Finding]) -> tuple[str, bool]:
    """The report, and whether every place that found something before found something by the new one, and in the end by it alone."""
    lines = [
        f"| Change | Detector | Places | New: first written | in the last place | Old: last judged | last written | From {SETTLED_S:g} s on, new / old |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    places: list[str] = []
    complete = True
    for number, change in enumerate(changes):
        until = changes[number + 1].began if number + 1 < len(changes) else float("inf")
        for detector, old, new in change.judged:
            mine = [finding for finding in findings if finding.detector == detector and finding.written < until]
            before = {finding.place for finding in mine if finding.written < change.configured and finding.by == old}
            first: dict[str, float] = {}
            for finding in mine:
                if finding.by == new:
                    first.setdefault(finding.place, finding.written - change.configured)
            olds = [finding for finding in mine if finding.by == old]
            missing = before - first.keys()
            complete = complete and bool(before) and not missing and all(finding.by in (old, new) for finding in mine)
            if not first or not olds:
                lines.append(f"| {change.what} | {detector} | {len(first)} of {len(before)} | – | – | – | – | – |")
                complete = False
                continue
            last = max(finding.written for finding in olds)
            since = [finding for finding in mine if finding.written > change.configured + SETTLED_S]
            stale = sum(finding.by != new for finding in since)
            complete = complete and bool(since) and not stale
            cells = (
                change.what, detector, f"{len(before) - len(missing)} of {len(before)}", f"+{min(first.values()):.2f} s", f"+{max(first.values()):.2f} s",
                f"{max(finding.judged for finding in olds) - change.configured:+.2f} s", f"{last - change.configured:+.2f} s",
                f"{len(since) - stale:,} / {stale:,}",
            )  # fmt: skip
            lines.append("| " + " | ".join(cells) + " |")
            places.append(
                f"`{detector}` by {new}: "
                + ", ".join(f"{place} {at:+.2f} s" for place, at in sorted(first.items(), key=lambda one: one[1]))
            )
    applied = [
        f"{change.what}: `{change.command}` at {time.strftime('%H:%M:%S', time.gmtime(change.configured))} UTC" for change in changes
    ]
    return "\n".join([*lines, "", *applied, "", *places]), complete
