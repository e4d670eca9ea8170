"""The one window in which a notification is sent twice: how long it is, and what kills at the worst moments make of it.

`python -m bench.notification_window` delivers notifications with the dispatcher's own core to a web server, books them in a real Postgres, and kills -9
the delivering process just after an acceptance, again and again, until everything is delivered. Kafka's part is played by starting from the first
record each time, as a dispatcher does whose offsets were never committed: the hardest case.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import signal
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from services.dispatcher.delivery import DeadLetter, Delivery, Record
from services.dispatcher.http_post import client
from services.dispatcher.ledger import Ledger
from services.dispatcher.notification import parse
from services.dispatcher.sender import Sender
from services.dispatcher.service import quiet_libraries
from services.storage.migrate import upgrade
from tests.support.postgres import running_postgres

RECEIVERS = 4
"""Queues that deliver at once."""


class Receiver(ThreadingHTTPServer):
    """Accepts everything and counts by `Idempotency-Key`."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A sender that is killed breaks its connections."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                receiver.calls[self.headers["Idempotency-Key"]] += 1
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                return

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class TimedLedger(Ledger):
    """Measures from the receiver's acceptance to the commit."""

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn)
        self.windows_s: list[float] = []

    async def delivered(self, notification_id: str, note: str | None = None) -> None:
        began = time.perf_counter()
        await super().delivered(notification_id, note)
        self.windows_s.append(time.perf_counter() - began)


async def _bury(letter: DeadLetter) -> None:
    raise AssertionError(f"nothing is given up here: {letter.reason}")


def _record(prefix: str, receiver: int, number: int) -> Record:
    alert = {
        "status": "firing",
        "labels": {"alertname": "latency"},
        "annotations": {"summary": "slow"},
        "startsAt": "2026-01-02T03:04:05.000Z",
    }
    value = {"notification_id": f"{prefix}-{receiver}-{number}", "receiver": "hook", "status": "firing", "alerts": [alert]}
    return Record(f"notify-{receiver}", 0, number, json.dumps(value).encode())


async def _deliver(dsn: str, url: str, prefix: str, count: int) -> list[float]:
    ledger = TimedLedger(dsn)
    await ledger.open()
    config = {"alerting": {"receivers": [{"name": "hook", "type": "webhook", "config": {"url": url}}]}}
    async with client() as http:
        delivery = Delivery(ledger, Sender(lambda: (1, config), http), _bury, parse=parse)

        async def queue(receiver: int) -> None:
            for number in range(count // RECEIVERS):
                await delivery.deliver(_record(prefix, receiver, number))

        await asyncio.gather(*(queue(receiver) for receiver in range(RECEIVERS)))
    await ledger.close()
    return ledger.windows_s


def _life(dsn: str, url: str, prefix: str, count: int, windows: Any) -> None:
    # The dispatcher's log is not what is measured.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    quiet_libraries()
    windows.put(asyncio.run(_deliver(dsn, url, prefix, count)))


def main() -> None:
    """Prints the window's length and the outcome of the kills."""
    parser = argparse.ArgumentParser(prog="python -m bench.notification_window")
    parser.add_argument("--notifications", type=int, default=4_000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    count = given.notifications // RECEIVERS * RECEIVERS
    context = multiprocessing.get_context("spawn")
    with running_postgres() as server:
        dsn = server.database("window")
        upgrade(dsn)
        receiver = Receiver()
        url = f"http://127.0.0.1:{receiver.server_address[1]}/"
        windows: Any = context.Queue()

        def start(prefix: str) -> Any:
            process = context.Process(target=_life, args=(dsn, url, prefix, count, windows))
            process.start()
            return process

        undisturbed = start("calm")
        measured = sorted(windows.get(timeout=600))
        undisturbed.join()
        milliseconds = [value * 1000 for value in measured]
        p50, p99 = np.percentile(milliseconds, [50, 99])
        figures = f"p50 {p50:.2f} ms, p99 {p99:.2f} ms, longest {milliseconds[-1]:.2f} ms"
        print(f"window from acceptance to commit: {figures} ({len(measured):,} notifications)", flush=True)
        chance, kills = random.Random(given.seed), 0
        while sum(key.startswith("storm") for key in receiver.calls) < count:
            process, before = start("storm"), sum(receiver.calls.values())
            if kills < given.kills:
                calls = before + chance.randint(1, max(1, 2 * count // (given.kills + 1)))
                while sum(receiver.calls.values()) < calls and process.is_alive():
                    time.sleep(0.0005)
                if process.is_alive():
                    os.kill(process.pid, signal.SIGKILL)
                    kills += 1
            process.join()
        receiver.shutdown()
    told = [receiver.calls[key] for key in receiver.calls if key.startswith("storm")]
    print(
        f"{kills} x kill -9 while {count:,} were delivered by {RECEIVERS} queues: lost {count - len(told)}, sent twice {sum(told) - len(told)}"
    )


if __name__ == "__main__":
    main()
