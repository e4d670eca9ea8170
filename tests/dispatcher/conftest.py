"""A real Postgres, a real SMTP server and a real HTTP server for the dispatcher; nothing of it is mocked."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from itertools import count
from typing import Any

import psycopg
import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from services.dispatcher.delivery import DeadLetter, Delivery, Outcome, Record, RetryPolicy
from services.dispatcher.http_post import client
from services.dispatcher.incident_book import IncidentBook
from services.dispatcher.ledger import Ledger
from services.dispatcher.notification import Notification, parse
from services.dispatcher.sender import Sender
from services.dispatcher.service import quiet_libraries
from services.storage.migrate import upgrade
from tests.support.postgres import PostgresServer, running_postgres

FAST = RetryPolicy(wait_initial_s=0.01, wait_max_s=0.05, jitter_s=0.0, attempt_timeout_s=5, grace_s=2)
numbers = count()


def record(notification_id: str = "n-1", receiver: str = "hook", again: bool = False, **changes: Any) -> Record:
    """A notification record as the alerting job writes it."""
    alert = {
        "status": "firing",
        "labels": {"alertname": "latency", "application_id": "chat"},
        "annotations": {"summary": "p95 3.2 s <b>"},
        "startsAt": "2026-01-02T03:04:05.000Z",
        "endsAt": None,
        "generatorURL": "http://127.0.0.1/a",
        "fingerprint": "f00d",
    }
    value = {
        "notification_id": notification_id,
        "alert_id": "a-1",
        "tenant_id": "acme",
        "receiver": receiver,
        "receiver_type": "webhook",
        "sequence": 1,
        "status": "firing",
        "group_key": "acme|latency",
        "group_labels": {"application_id": "chat"},
        "common_labels": {"alertname": "latency"},
        "common_annotations": {"summary": "p95 3.2 s <b>"},
        "external_url": "http://127.0.0.1/",
        "alerts": [alert],
        "severity": "critical",
        "title": "Latency of chat",
        "text": "Latency is high — “three times”",
        "created_at": "2026-01-02T03:04:06.000Z",
        "config_version": 3,
    }
    return Record(f"notify-{receiver}", 0, next(numbers), json.dumps(value | changes).encode(), again)


def answers(server: HTTPServer, *responses: Response) -> list[Request]:
    """Lets the server give these answers in turn (the last one for ever); returns the requests as they come."""
    seen: list[Request] = []

    def handle(request: Request) -> Response:
        request.get_data()
        seen.append(request)
        return responses[min(len(seen), len(responses)) - 1]

    server.expect_request("/hook").respond_with_handler(handle)
    return seen


class Bench:
    """Runs deliveries against one database; keeps dead letters."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.receivers: list[dict[str, Any]] = []
        self.sections: dict[str, Any] = {}
        """Other sections of the configuration, and of `alerting`."""
        self.letters: list[DeadLetter] = []

    def add(self, name: str, kind: str, **config: Any) -> None:
        self.receivers.append({"name": name, "type": kind, "config": config})

    def config(self) -> dict[str, Any]:
        alerting = {"receivers": self.receivers, **self.sections.get("alerting", {})}
        return {**self.sections, "alerting": alerting}

    async def bury(self, letter: DeadLetter) -> None:
        self.letters.append(letter)

    def run(self, work: Callable[[Delivery[Notification]], Awaitable[Any]], policy: RetryPolicy = FAST, send: Any = None) -> Any:
        """One life of the dispatcher's core."""

        async def life() -> Any:
            ledger = Ledger(self.dsn)
            await ledger.open()
            try:
                async with client() as http:
                    sender = send or Sender(lambda: (3, self.config()), http, IncidentBook(ledger.database))
                    return await work(Delivery(ledger, sender, self.bury, lambda: policy, parse=parse))
            finally:
                await ledger.close()

        return asyncio.run(life())

    def deliver(self, one: Record, **options: Any) -> Outcome:
        outcome: Outcome = self.run(lambda delivery: delivery.deliver(one), **options)
        return outcome

    def ledger(self, notification_id: str = "n-1") -> tuple[Any, ...]:
        with psycopg.connect(self.dsn) as connection:
            sql = "SELECT state, attempts, last_error FROM sentinel.notification_ledger WHERE notification_id = %s"
            row = connection.execute(sql, [notification_id]).fetchone()
        assert row is not None
        return row


@pytest.fixture(scope="session")
def ledger_server() -> Iterator[PostgresServer]:
    quiet_libraries()
    with running_postgres() as server:
        yield server


@pytest.fixture
def bench(ledger_server: PostgresServer) -> Bench:
    dsn = ledger_server.database(f"ledger_{next(numbers)}")
    upgrade(dsn)
    return Bench(dsn)
