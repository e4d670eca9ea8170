"""End-to-end latency of the standalone job at a steady rate; start-up time and memory of the stack.

Every time is taken on this machine's clock outside the system: when an event is handed to the producer, and when a consumer has the record in hand.
"""

from __future__ import annotations

import gc
import re
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import Consumer

from bench.figures import interpolate, summary
from bench.row import Row
from bench.sampling import Sampler, service_roots, stack_pss_bytes
from bench.stack import BenchStack, sentinel
from bench.topic import EVENT_BYTES, start_at_end
from sentinel.settings import JobSettings
from services.stack.paths import Layout
from services.stack.state import load_endpoints
from services.stack.submit import wait_running
from services.traffic.bulk import bulk_events
from services.traffic.kafka_out import KafkaSender

TOPIC = "llm-telemetry"
INPUTS = (TOPIC, "llm-metrics")
KEYS = 1_000
HISTORY_S = 200
"""Of event time, before the live events and loaded at once: the detectors on panes must have learned before the measurement."""
HISTORY_RATE = 2_000
HISTORY_SEED, LIVE_SEED = 3, 4
"""Other events of the same keys: what is learned of a key holds for what follows."""
QUIET_NO_MORE_S = 2.0
"""By then the pulse service has seen that partitions have telemetry again: a pulse before the history would make all of it late."""
SETTLE_S = 120
"""At the steady rate, before anything counts: the job starts, reads the history and what came meanwhile, and its code is compiled. In a slow hour of
the machine a TaskManager that had just started was 20 s behind after 60."""
TICK_S = 0.002
"""Events are handed over as far apart as this: a sleep for each would cost a tenth of a core, on the cores of what is measured."""
COOL_S = 5
"""At the steady rate, after the measurement: the last panes close by the events behind them, not by pulses."""
APART_S = 3
"""Processor time and memory are sampled so long before and after what is measured: reading them takes a tenth of a second of a core."""
DRAWN_AT_ONCE = 500
"""Events: 20,000 would take a core for 16 ms every four seconds, and come late after that."""
PLANTED_EVERY = 500
PLANTED_FACTOR = 1_000.0
"""Above the built-in limit of 30 s for every key."""
SHIFTED_EVERY = 5
SHIFT_FACTOR = 6.0
"""Every fifth application's latency grows to this, one application after the other, for the detectors on panes."""
READY_S = 60.0
PaneAnomaly = tuple[str, str, float]
"""`tenant|application`, anomaly id, and end of the window in epoch seconds, of detectors on panes."""
_LATENCY = re.compile(rb'"latency_ms":([0-9.]+)')


@dataclass
class Sent:
    """When events were handed over, in epoch seconds."""

    planted: dict[str, float] = field(default_factory=dict)
    """Single events above the limit, by id."""
    grown: dict[tuple[str, int], list[float]] = field(default_factory=dict)
    """Answers that take longer than the key was known for, by `tenant|application` and pane: the epoch second in which it ends."""

    def of_panes(self, found: Mapping[PaneAnomaly, float], since: float, until: float) -> Iterator[float]:
        """Seconds from each answer of the pane that was found to the record of the anomaly, for panes that end in that time."""
        for (key, _, end), at in found.items():
            if since <= end < until:
                yield from (at - handed for handed in self.grown.get((key, int(end)), ()))


@dataclass
class Seen:
    """What the consumer saw; times in epoch seconds, of the first record each."""

    by_event: dict[str, float] = field(default_factory=dict)
    by_window: dict[PaneAnomaly, float] = field(default_factory=dict)
    anomalies: dict[tuple[str, str, str], float] = field(default_factory=dict)
    """(tenant, application, detector)"""
    notifications: dict[tuple[str, str, str], float] = field(default_factory=dict)

    def take(self, topic: str, value: bytes, at: float) -> None:
        """Note one record of llm-anomalies or of a receiver's topic."""
        record: dict[str, Any] = msgspec.json.decode(value)
        if topic.startswith("notify-"):
            group = record["group_labels"]
            if record["status"] == "firing" and "detector_id" in group:
                self.notifications.setdefault((record["tenant_id"], group["application_id"], group["detector_id"]), at)
            return
        self.anomalies.setdefault((record["tenant_id"], record["application_id"], record["detector_id"]), at)
        if record.get("detector_type") == "rule":
            for event_id in record["context"]["sample_events"]:
                self.by_event.setdefault(event_id, at)
        elif not record["update"]:
            key = f"{record['tenant_id']}|{record['application_id']}"
            self.by_window.setdefault((key, record["anomaly_id"], _epoch(record["context"]["window_end"])), at)


class Watcher(threading.Thread):
    """Consumes llm-anomalies and the receivers' topics from their ends on."""

    def __init__(self, bootstrap: str) -> None:
        super().__init__(name="bench-watcher", daemon=True)
        self.seen = Seen()
        self.ready = threading.Event()
        self._stop_now = threading.Event()
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": f"bench-watcher-{uuid.uuid4().hex[:8]}",
                "auto.offset.reset": "latest",
                "enable.auto.commit": False,
                "topic.metadata.refresh.interval.ms": 2_000,
            }
        )
        self._consumer.subscribe(["llm-anomalies", "^notify-.*"], on_assign=lambda *_: self.ready.set())

    def run(self) -> None:
        while not self._stop_now.is_set():
            message = self._consumer.poll(0.2)
            topic, value = (message.topic(), message.value()) if message is not None and message.error() is None else (None, None)
            if topic and value and topic != "notify-dlq":
                self.seen.take(topic, value, time.time())
        self._consumer.close()

    def stop(self) -> Seen:
        self._stop_now.set()
        self.join(10)
        return self.seen


def run(stack: BenchStack, row: Row, quick: bool, slots: int | None = None) -> Row:
    """Per-event rule, detectors on panes and notification, each with its percentiles in milliseconds; on `slots`, or as many as flink-conf says."""
    rate, seconds = (1_000, 30) if quick else (5_000, 60)
    stack.cancel_all()
    stack.empty_tables()
    group = f"bench-latency-{uuid.uuid4().hex[:8]}"
    watcher = Watcher(stack.bootstrap)
    watcher.start()
    if not watcher.ready.wait(30):
        raise SystemExit("bench: the consumer of the latency row got no partitions within 30 s")
    sender = KafkaSender(stack.bootstrap, TOPIC)
    sampler = Sampler(service_roots(stack.layout))
    submission = ThreadPoolExecutor(1, thread_name_prefix="bench-submit")
    try:
        _load_history(sender, quick, lambda: start_at_end(stack.bootstrap, f"{group}-standalone", *INPUTS))
        started = submission.submit(_start, stack, group, slots)
        print(f"  {rate:,} events/s for {SETTLE_S} + {seconds} + {COOL_S} s", file=sys.stderr)
        began = time.time()
        gc.disable()  # the collector holds the load up for a tenth of a second, several times a minute; a run makes no cycles worth it
        sent = _live(sender, sampler, rate, SETTLE_S + seconds, COOL_S)
        sender.finish(30)
        behind_s = max(0.0, time.time() - began - SETTLE_S - seconds - COOL_S)
        time.sleep(JobSettings().lateness_ms / 1000 + 2)
        running_after_s = started.result() - began
        row.restarts = stack.rest.job(stack.rest.jobs()[0].job_id).restarts
    finally:
        gc.enable()
        seen = watcher.stop()
        submission.shutdown()
        stack.cancel_all()
    since = began + SETTLE_S
    row.details = {
        "events_per_s": rate,
        "seconds": seconds,
        "generator_behind_s": round(behind_s, 2),
        "job_running_after_s": round(running_after_s, 1),
        # Of the history nothing may be: the detectors would not have learned from it.
        "late_events": stack.counted().get("late", 0),
        **_figures(seen, sent, since, since + seconds),
        "cpu_s_per_million": {
            name: round((interpolate(samples, since + seconds) - interpolate(samples, since)) / (rate * seconds / 1e6), 2)
            for name, samples in sampler.cpu.items()
        },
        "pss_mib": {name: round(value / 2**20) for name, value in sampler.pss.items()},
    }
    return row


def _figures(seen: Seen, sent: Sent, since: float, until: float) -> dict[str, Any]:
    planted = {event: at for event, at in sent.planted.items() if since <= at < until}

    def millis(values: Iterator[float]) -> dict[str, float]:
        return {name: round(value, 1) for name, value in summary([value * 1000 for value in values]).items()}

    return {
        "event_to_anomaly_ms": millis(seen.by_event[event] - at for event, at in planted.items() if event in seen.by_event),
        "planted_not_seen": sum(event not in seen.by_event for event in planted),
        "pane_end_to_anomaly_ms": millis(at - end for (_, _, end), at in seen.by_window.items() if since <= end < until),
        "event_of_pane_to_anomaly_ms": millis(sent.of_panes(seen.by_window, since, until)),
        "anomaly_to_notification_ms": millis(
            seen.notifications[key] - at for key, at in seen.anomalies.items() if since <= at < until and key in seen.notifications
        ),
    }


def _epoch(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _start(stack: BenchStack, group: str, slots: int | None) -> float:
    """Submit the job; when it runs (epoch seconds)."""
    stack.submit("standalone", "jobs.standalone", [], {"SENTINEL_KAFKA_GROUP": group}, slots)
    wait_running(stack.layout, "standalone", lambda text: print(f"  {text}", file=sys.stderr))
    return time.time()


def _load_history(sender: KafkaSender, quick: bool, begin: Callable[[], None]) -> None:
    """Send the history. `begin` is called before its second second: what lies before that call is not the job's."""
    rate = HISTORY_RATE // 2 if quick else HISTORY_RATE
    begin_ms = int((time.time() - HISTORY_S) * 1000)
    stream = bulk_events(
        HISTORY_S * rate, seed=HISTORY_SEED, keys_seed=LIVE_SEED, keys=KEYS, event_bytes=EVENT_BYTES, start_ms=begin_ms, rate=rate
    )
    for number, (ts_ms, key, value) in enumerate(stream):
        if number == rate:
            sender.finish()
            time.sleep(QUIET_NO_MORE_S)
            begin()
        sender.send(ts_ms, key, value)
    sender.finish()


def _live(sender: KafkaSender, sampler: Sampler, rate: int, seconds: int, more_s: int) -> Sent:
    """Send at the pace of the events' own times, and for `more_s` longer."""
    sent = Sent()
    shifted: dict[bytes, int] = {}
    begin_ms = time.time_ns() // 1_000_000
    samples_s = [SETTLE_S - APART_S, seconds + APART_S]
    stream = bulk_events(
        rate * (seconds + more_s),
        seed=LIVE_SEED,
        keys=KEYS,
        event_bytes=EVENT_BYTES,
        start_ms=begin_ms,
        rate=rate,
        outlier_every=PLANTED_EVERY,
        outlier_factor=PLANTED_FACTOR,
        at_once=DRAWN_AT_ONCE,
    )
    for index, (ts_ms, key, value) in enumerate(stream, 1):
        ahead = ts_ms / 1000 - time.time()
        if ahead > 0:
            if samples_s and ts_ms - begin_ms >= samples_s[0] * 1000:
                sampler.sample()
                samples_s.pop(0)
            time.sleep(max(TICK_S, ts_ms / 1000 - time.time()))
        if index % PLANTED_EVERY == 0:
            event_id = str(msgspec.json.decode(value)["event_id"])
            sent.planted[event_id] = time.time()
        elif (ts_ms - begin_ms) / 1000 > shifted.setdefault(key, _shift_at(len(shifted), seconds)):
            value, answers = _LATENCY.subn(lambda found: b'"latency_ms":%.2f' % (float(found[1]) * SHIFT_FACTOR), value)
            if answers:
                sent.grown.setdefault((key.decode(), ts_ms // 1000 + 1), []).append(time.time())
        sender.send(ts_ms, key, value)
    return sent


def _shift_at(number: int, seconds: int) -> int:
    """When the latency of the application of that number grows, in seconds; never, for most."""
    return SETTLE_S + number // SHIFTED_EVERY % (seconds - SETTLE_S) if number % SHIFTED_EVERY == 0 else seconds + 1


def run_stack(home: Path, row: Row) -> Row:
    """`sentinel up` with everything cached, submission of the standalone job, and memory of all processes a minute after that."""
    group = "bench-stack"
    start_at_end(load_endpoints(home).kafka_bootstrap, f"{group}-standalone", *INPUTS)
    sentinel(home, "down")
    up_s = sentinel(home, "up")
    environment = {"SENTINEL_KAFKA_GROUP": group}
    job_s = sentinel(home, "jobs", "submit", "standalone", "--fresh", environment=environment)
    time.sleep(READY_S)
    layout = Layout(home)
    sampler = Sampler(service_roots(layout))
    sampler.sample()
    row.details = {
        "up_s": round(up_s, 1),
        "standalone_running_after_s": round(job_s, 1),
        "stack_pss_mib": round(stack_pss_bytes(layout) / 2**20),
        "pss_mib": {name: round(value / 2**20) for name, value in sampler.pss.items()},
    }
    return row
