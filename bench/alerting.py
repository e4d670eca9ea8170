"""Anomalies → alerts → notifications: the alerting job on the real stack, beside a real Alertmanager that is fed the same alerts.

`python -m bench --only alerting`. Notifications are counted where they leave the system that is measured: our receiver's topic, Alertmanager's webhook.
"""

from __future__ import annotations

import shutil
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import msgspec
import psutil

from bench import alert_controls
from bench.alert_receiver import Receiver
from bench.alert_storm import NOTIFIED, TOPIC, Notified, anomaly, apply_configuration, send, storm
from bench.alertmanager import Alertmanager, batches_of
from bench.figures import steady, summary
from bench.flink_row import run_job
from bench.row import Row
from bench.sampling import FORK_SERVER, cpu_seconds, pss_bytes, service_roots, tree
from bench.stack import BenchStack, sentinel
from bench.topic import Filled, end_offset, recreate
from services.traffic.kafka_out import KafkaSender

FINGERPRINTS = 2_000
JOB = "jobs.alerting"
SLOTS = 2
"""It is configured for one."""
STALLED_S = 120
REST_S = 60
NEW_PER_S, STORM_PER_S, LATENCY_S = 50, 2_000, 30
NOWHERE = "http://127.0.0.1:9/"


def run(stack: BenchStack, row: Row, quick: bool) -> Row:
    """The rates of both, and what many live alerts cost both."""
    records, live = (40_000, 5_000) if quick else (600_000, 100_000)
    home = stack.layout.home
    # What the dispatcher does with them is measured by `bench.alert_crash` and `bench.notification_window`.
    sentinel(home, "up", "--no-dispatcher")
    details: dict[str, Any] = {}
    for definitions in (0, 1_000):
        apply_configuration(home, NOWHERE, definitions)
        details[f"job, {FINGERPRINTS:,} fingerprints" + (f", {definitions:,} definitions" if definitions else "")] = _storm(
            stack, row, records
        )
    apply_configuration(home, NOWHERE)
    details[f"job, {live:,} live alerts"] = _live(stack, live, quick)
    stack.configure()
    row.details = details | _alertmanager(home / "alertmanager", records, live, quick)
    row.events = 0
    return row


def _fill(stack: BenchStack, records: int, fingerprints: int) -> None:
    recreate(stack.bootstrap, TOPIC)
    sender = KafkaSender(stack.bootstrap, TOPIC)
    for one in storm(records, fingerprints):
        send(sender, one)
    sender.finish()


def _storm(stack: BenchStack, row: Row, records: int) -> dict[str, Any]:
    """A backlog of repeated anomalies: the rate at which the job takes them, and what it says."""
    stack.cancel_all()
    _fill(stack, records, FINGERPRINTS)
    before = end_offset(stack.bootstrap, NOTIFIED)
    took = Row(name=row.name, what=row.what, command=row.command)
    run_job(stack, took, JOB, [], "alerting", Filled(TOPIC, records, FINGERPRINTS, [], []), SLOTS)
    return {
        "anomalies_per_s": round(took.rate),
        "anomalies": records,
        "notifications": end_offset(stack.bootstrap, NOTIFIED) - before,
        "cpu_s_per_million": took.cpu_s_per_million,
        "restarts": took.restarts,
    }


def _live(stack: BenchStack, live: int, quick: bool) -> dict[str, Any]:
    """Every anomaly an alert of its own: rate, latency beside a storm, cost at rest, and the time to come back after kill -9."""
    stack.cancel_all()
    _fill(stack, live, live)
    notified = Notified(stack.bootstrap)
    job_id = stack.submit("alerting", JOB, [], {"SENTINEL_KAFKA_GROUP": f"bench-alerting-{uuid.uuid4().hex[:8]}"}, SLOTS)
    try:
        progress = notified.wait_for(live, STALLED_S)
        found: dict[str, Any] = {"all_distinct_per_s": round(steady(progress, live).rate)}
        found["anomaly_to_notification_ms"] = _latency(stack, notified, live, 10 if quick else LATENCY_S)
        found["request_to_in_force_ms"] = alert_controls.run(stack)
        time.sleep(15)
        roots = service_roots(stack.layout)
        found["at_rest"] = _at_rest([pid for name, pid in roots.items() if name in ("taskmanager", FORK_SERVER)], 10 if quick else REST_S)
        found["checkpoint"] = _checkpoint(stack, job_id)
        found |= _killed(stack, notified, live * 2)
        found["restarts"] = stack.rest.job(job_id).restarts
    finally:
        notified.close()
        stack.cancel_all()
    return found


def _latency(stack: BenchStack, notified: Notified, first: int, seconds: int) -> dict[str, float]:
    """From handing an anomaly of a new alert to Kafka until its notification is in hand, while others repeat."""
    sender = KafkaSender(stack.bootstrap, TOPIC)
    now_ms = time.time_ns() // 1_000_000
    sent: dict[str, float] = {}
    seen: dict[str, float] = {}
    began, repeated = time.time(), 0
    while (passed := time.time() - began) < seconds:
        while len(sent) < passed * NEW_PER_S:
            number = first + len(sent)
            sent[f"app-{number}"] = time.time()
            send(sender, anomaly(number, 1, now_ms, now_ms))
        while repeated < passed * STORM_PER_S:
            send(sender, anomaly(repeated % FINGERPRINTS, 2 + repeated // FINGERPRINTS, now_ms + repeated, now_ms))
            repeated += 1
        _note(notified.poll(0.002), seen)
    deadline = time.time() + 30
    while len(seen.keys() & sent.keys()) < len(sent) and time.time() < deadline:
        _note(notified.poll(0.05), seen)
    sender.finish(30)
    taken = [(seen[name] - at) * 1000 for name, at in sent.items() if name in seen]
    return {name: round(value, 1) for name, value in summary(taken).items()} | {"not_told": len(sent) - len(taken)}


def _note(values: list[bytes], seen: dict[str, float]) -> None:
    for value in values:
        seen.setdefault(msgspec.json.decode(value)["group_labels"]["application_id"], time.time())


def _at_rest(pids: list[int], seconds: float) -> dict[str, float]:
    """CPU of process trees over a while, in per cent of one core, and their memory."""
    processes = [process for pid in pids for process in tree(pid)]
    before = cpu_seconds(processes)
    time.sleep(seconds)
    return {"cpu_percent": round(100 * (cpu_seconds(processes) - before) / seconds, 1), "memory_mib": round(pss_bytes(processes) / 2**20)}


def _checkpoint(stack: BenchStack, job_id: str) -> dict[str, float]:
    latest = stack.rest.call(f"/jobs/{job_id}/checkpoints")["latest"]["completed"]
    return {"ms": latest["end_to_end_duration"], "mib": round(latest["state_size"] / 2**20, 1)}


def _killed(stack: BenchStack, notified: Notified, first: int) -> dict[str, float]:
    """kill -9 of the TaskManager: seconds until a new anomaly is told of again, and whether anybody was told twice."""
    while notified.poll(0.5):
        pass
    pid = service_roots(stack.layout)["taskmanager"]
    began = time.time()
    psutil.Process(pid).kill()
    sender, sent = KafkaSender(stack.bootstrap, TOPIC), 0
    seen: dict[str, float] = {}
    while f"app-{first}" not in seen and time.time() < began + 180:
        if sent == 0:
            now_ms = time.time_ns() // 1_000_000
            send(sender, anomaly(first, 1, now_ms, now_ms))
            sender.finish(30)
            sent = 1
        _note(notified.poll(0.05), seen)
    back = seen.get(f"app-{first}", float("nan")) - began
    until = time.time() + 45
    while time.time() < until:
        _note(notified.poll(0.5), seen)
    return {"back_after_kill_s": round(back, 1), "told_again_after_kill": len(seen) - 1}


def _alertmanager(folder: Path, records: int, live: int, quick: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, count, fingerprints in ((f"{FINGERPRINTS:,} fingerprints", records, FINGERPRINTS), (f"{live:,} live alerts", live, live)):
        shutil.rmtree(folder, ignore_errors=True)
        batches = batches_of(list(storm(count, fingerprints)))
        with Receiver() as receiver, Alertmanager(folder, receiver.url) as manager:
            print(f"  Alertmanager, {name}", file=sys.stderr)
            processes = tree(manager.pid)
            began = time.time()
            manager.post(batches)
            posted = time.time()
            while sum(receiver.told().values()) < fingerprints and time.time() < posted + STALLED_S:
                time.sleep(0.25)
            told = time.time()
            cpu = cpu_seconds(processes)
            figures: dict[str, Any] = {
                "accepted_per_s": round(count / (posted - began)),
                "all_told_after_s": round(told - began, 1),
                "notifications": sum(receiver.told().values()),
                "cpu_s_per_million": round(cpu / count * 1e6, 1),
            }
            if fingerprints == live:
                time.sleep(0 if quick else 30)
                figures["at_rest"] = _at_rest([manager.pid], 10 if quick else REST_S)
        found[f"Alertmanager, {name}"] = figures
    shutil.rmtree(folder, ignore_errors=True)
    return found
