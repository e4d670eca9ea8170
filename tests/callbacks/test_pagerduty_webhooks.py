"""PagerDuty's v3 webhooks over real HTTP and a real Postgres: who may ask, for what, and what reaches the control topic."""

import asyncio
import hashlib
import hmac
import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest

from services.callbacks.application import PATH, Callbacks
from services.dispatcher.database import Database
from services.dispatcher.notification import parse
from services.dispatcher.pagerduty import dedup_key
from services.gateway.http_server import HttpServer
from services.storage.migrate import upgrade
from tests.dispatcher.conftest import record
from tests.support.postgres import running_postgres

SECRET = "webhook-s3cret"
GROUP = '["acme","d",[["application_id","chat"]]]'
KEY = dedup_key(parse(record(receiver="pager", group_key=GROUP).value))


@pytest.fixture(scope="module")
def dsn() -> Iterator[str]:
    with running_postgres() as server:
        database = server.database("callbacks")
        upgrade(database)
        sql = """INSERT INTO sentinel.notifications (notification_id, alert_id, tenant_id, receiver, receiver_type, group_key, created_at)
                 VALUES (%s, %s, 'acme', %s, %s, %s, now() - %s::interval)"""
        with psycopg.connect(database) as connection:
            for row in (
                ("n-1", "al-old", "pager", "pagerduty", GROUP, "2 days"),
                ("n-2", "al-new", "pager", "pagerduty", GROUP, "1 hour"),
                ("n-3", "al-other", "pager2", "pagerduty", GROUP, "1 minute"),
            ):
                connection.execute(sql, row)
        yield database


def webhook(event_type: str = "incident.acknowledged", key: str = KEY, event_id: str = "e-1", agent: str = "user_reference") -> bytes:
    """As PagerDuty documents it (developer documentation, Webhooks v3)."""
    event = {
        "id": event_id,
        "event_type": event_type,
        "resource_type": "incident",
        "occurred_at": "2026-03-02T12:00:00.000Z",
        "agent": {"id": "P1", "type": agent, "summary": "Ada\nLovelace", "html_url": "https://acme.pagerduty.com/users/P1", "self": None},
        "client": None,
        "data": {
            "id": "PGR0VU2",
            "type": "incident",
            "html_url": "https://acme.pagerduty.com/incidents/PGR0VU2",
            "number": 2,
            "status": "acknowledged",
            "incident_key": key,
            "title": "Latency",
        },
    }
    return json.dumps({"event": event}).encode()


def signed(body: bytes, secret: str = SECRET) -> str:
    return "v1=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


class Door:
    """The application behind a real server, with a topic that may be away."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.records: list[tuple[bytes, dict[str, Any]]] = []
        self.away = False
        receivers = [("pager", "${PD_SECRET}"), ("pager2", "${PD_OTHER}"), ("unset", "${PD_NOT_SET_ANYWHERE}")]
        self.config = {
            "alerting": {
                "receivers": [{"name": name, "type": "pagerduty", "config": {"webhookSecret": secret}} for name, secret in receivers]
            }
        }

    async def publish(self, key: bytes, value: bytes) -> None:
        if self.away:
            raise OSError("no broker")
        self.records.append((key, json.loads(value)))

    def post(self, body: bytes, signature: str | None, path: str = PATH, method: str = "POST") -> tuple[int, str]:
        async def story() -> tuple[int, str]:
            database = Database(self.dsn)
            await database.open()
            with socket.create_server(("127.0.0.1", 0)) as bound:
                server = HttpServer(Callbacks(lambda: self.config, database, self.publish, lambda: 0), bound)
                await server.start()
                headers = {"X-PagerDuty-Signature": signature} if signature else {}
                async with httpx.AsyncClient(trust_env=False) as http:
                    url = f"http://127.0.0.1:{bound.getsockname()[1]}{path}"
                    answer = await http.request(method, url, content=body, headers=headers)
                await server.stop()
            await database.close()
            return answer.status_code, answer.json()["status"]

        return asyncio.run(story())


@pytest.fixture
def door(dsn: str, monkeypatch: pytest.MonkeyPatch) -> Door:
    monkeypatch.setenv("PD_SECRET", SECRET)
    monkeypatch.setenv("PD_OTHER", "another")
    return Door(dsn)


@pytest.mark.parametrize(
    ("event_type", "action"), [("incident.acknowledged", "ack"), ("incident.unacknowledged", "unack"), ("incident.resolved", "resolve")]
)
def test_what_somebody_did_becomes_a_request_for_the_newest_alert(door: Door, event_type: str, action: str) -> None:
    body = webhook(event_type)
    assert door.post(body, signed(body)) == (202, f"{action} of alert al-new")
    ((key, request),) = door.records
    assert key == b"acme"
    control_id = request.pop("control_id")
    assert request == {
        "action": action,
        "tenant_id": "acme",
        "at": "1970-01-01T00:00:00.000Z",
        "by": "PagerDuty: AdaLovelace",
        "comment": "https://acme.pagerduty.com/incidents/PGR0VU2",
        "alert_id": "al-new",
        "group_key": GROUP,
    }
    door.post(body, signed(body))
    assert door.records[1][1]["control_id"] == control_id
    other = webhook(event_type, event_id="e-2")
    door.post(other, signed(other))
    assert door.records[2][1]["control_id"] != control_id


@pytest.mark.parametrize("signature", [None, "", "v1=", "v1=" + "0" * 64, "v2=" + "0" * 64, "nonsense" * 1000])
def test_without_the_right_signature_nothing_is_asked(door: Door, signature: str | None) -> None:
    assert door.post(webhook(), signature)[0] == 401
    assert door.records == []


def test_one_of_several_signatures_is_enough_and_the_body_counts(door: Door) -> None:
    body = webhook()
    assert door.post(body, f"v1={'0' * 64},{signed(body)}")[0] == 202
    assert door.post(body + b" ", signed(body))[0] == 401


def test_the_secret_of_one_receiver_asks_nothing_of_another(door: Door) -> None:
    body = webhook()
    assert door.post(body, signed(body, "another")) == (202, "no alert of ours")
    assert door.records == []


@pytest.mark.parametrize(
    "body",
    [
        webhook("incident.escalated"),
        webhook("pagey.ping"),
        webhook(key="not-ours"),
        webhook("incident.resolved", agent="inbound_integration_reference"),
    ],
)
def test_what_asks_for_nothing_is_accepted(door: Door, body: bytes) -> None:
    assert door.post(body, signed(body)) == (202, "nothing to do")
    assert door.records == []


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[" * 5000, b'{"event": {"id": 1}}', b"\xff", webhook().replace(b'"incident_key"', b'"incident_key": 1, "x"')]
)
def test_what_is_no_webhook_is_refused(door: Door, body: bytes) -> None:
    status, text = door.post(body, signed(body))
    assert status == 400
    assert text.startswith("not a v3 webhook of PagerDuty: ")


def test_a_topic_that_is_away_is_said_so_that_pagerduty_tries_again(door: Door) -> None:
    door.away = True
    body = webhook()
    assert door.post(body, signed(body))[0] == 503


@pytest.mark.parametrize(("path", "method", "status"), [("/", "POST", 404), (PATH, "GET", 405), ("/health", "GET", 200)])
def test_other_paths(door: Door, path: str, method: str, status: int) -> None:
    assert door.post(b"", None, path, method)[0] == status


def test_a_body_that_is_too_long_is_not_read(door: Door) -> None:
    assert door.post(b"x" * ((1 << 20) + 1), "v1=" + "0" * 64)[0] == 413
