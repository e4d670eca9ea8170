"""kill -9 in the middle of a storm of alerts, for our alerting job and for a real Alertmanager: who was not told, and who was told twice.

`python -m bench.alert_crash` raises the same alerts in both, each once and at the same pace, kills the process that holds the alerts half-way (the
TaskManager; Alertmanager, which is started again at once on its data), and counts at a web server what arrived.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
import uuid
from pathlib import Path

import psutil

from bench.alert_receiver import Receiver
from bench.alert_storm import NOTIFIED, TOPIC, anomaly, apply_configuration, send
from bench.alertmanager import Alertmanager, batches_of
from bench.sampling import service_roots
from bench.stack import DEFAULT_HOME, bring_up, sentinel
from bench.topic import end_offset, start_at_end
from sentinel.anomaly import Anomaly
from services.stack.submit import wait_running
from services.traffic.kafka_out import KafkaSender

STEP = 100
"""Alerts handed over together."""
QUIET_S = 45
"""When nothing arrived for so long, nothing more will: longer than group_interval and every retry on the way."""
LIMIT_S = 600
RESEND_S = 30
"""After the kill: when everything is posted to Alertmanager again, as Prometheus does each minute while it fires."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.alert_crash", description=__doc__)
    parser.add_argument("--alerts", type=int, default=10_000)
    parser.add_argument("--per-second", type=int, default=1_000)
    parser.add_argument("--home", type=Path, default=DEFAULT_HOME)
    parser.add_argument("--keep-up", action="store_true", help="leave the stack running afterwards")
    given = parser.parse_args()
    now_ms = time.time_ns() // 1_000_000
    first = now_ms // 1_000 % 1_000_000_000
    alerts = [anomaly(first + number, 1, now_ms, now_ms) for number in range(given.alerts)]
    lines = [
        "| kill -9 half-way through the storm | Alerts | Told | Never told | Told twice | All told after, s |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    folder = given.home.resolve() / "alertmanager"
    for resend in (False, True):
        lines.append(_alertmanager(folder, alerts, given.per_second, resend))
        print(lines[-1], file=sys.stderr)
    try:
        lines.append(_ours(given.home.resolve(), alerts, given.per_second))
    finally:
        if not given.keep_up:
            sentinel(given.home.resolve(), "down")
    print("\n".join(lines))


def _ours(home: Path, alerts: list[Anomaly], per_second: int) -> str:
    with Receiver() as receiver:
        stack = bring_up(home)
        sentinel(home, "up", "--dispatcher")
        apply_configuration(home, receiver.url)
        if end_offset(stack.bootstrap, NOTIFIED):
            raise SystemExit(
                f"bench: {NOTIFIED} holds messages of an earlier run, which the dispatcher would send first: give --home a new folder"
            )
        group = f"bench-crash-{uuid.uuid4().hex[:8]}"
        start_at_end(stack.bootstrap, f"{group}-alerting", TOPIC)
        stack.submit("alerting", "jobs.alerting", [], {"SENTINEL_KAFKA_GROUP": group})
        wait_running(stack.layout, "alerting", lambda text: print(f"  {text}", file=sys.stderr))
        sender = KafkaSender(stack.bootstrap, TOPIC)
        try:
            began = time.time()
            for place in range(0, len(alerts), STEP):
                if place == len(alerts) // 2 // STEP * STEP:
                    psutil.Process(service_roots(stack.layout)["taskmanager"]).kill()
                for one in alerts[place : place + STEP]:
                    send(sender, one)
                time.sleep(max(0.0, began + (place + STEP) / per_second - time.time()))
            sender.finish()
            return _row("Sentinel: the TaskManager", alerts, receiver, began)
        finally:
            stack.cancel_all()


def _alertmanager(folder: Path, alerts: list[Anomaly], per_second: int, resend: bool) -> str:
    shutil.rmtree(folder, ignore_errors=True)
    batches = batches_of(alerts, STEP)
    with Receiver() as receiver, Alertmanager(folder, receiver.url) as manager:
        began = time.time()
        for place, batch in enumerate(batches):
            if place == len(batches) // 2:
                manager.kill()
                manager.start()
            manager.post([batch])
            time.sleep(max(0.0, began + (place + 1) * STEP / per_second - time.time()))
        if resend:
            time.sleep(RESEND_S)
            manager.post(batches)
        row = _row("Alertmanager, everything posted " + ("again afterwards" if resend else "once"), alerts, receiver, began)
    shutil.rmtree(folder, ignore_errors=True)
    return row


def _row(name: str, alerts: list[Anomaly], receiver: Receiver, began: float) -> str:
    """Wait until nothing more arrives."""
    count, moved = 0, time.time()
    while time.time() < moved + QUIET_S and time.time() < began + LIMIT_S:
        time.sleep(1.0)
        now = sum(receiver.told().values())
        if now != count:
            count, moved = now, time.time()
            print(f"  {name}: {count:,}", file=sys.stderr)
    told = receiver.told()
    wanted = {f"{one.tenant_id}|{one.application_id}" for one in alerts}
    times = [told[key] for key in wanted]
    never, twice = sum(count == 0 for count in times), sum(count - 1 for count in times if count > 1)
    return f"| {name} | {len(alerts):,} | {len(alerts) - never:,} | {never:,} | {twice:,} | {moved - began:.0f} |"


if __name__ == "__main__":
    main()
