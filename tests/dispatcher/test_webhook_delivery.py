"""Webhooks: the exact Alertmanager JSON, what is retried and what is not, and that nobody waits for somebody else."""

import asyncio
import base64
import hashlib
import hmac
import socket
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Response

from services.dispatcher.delivery import Delivery, Outcome, Record, RetryPolicy
from services.dispatcher.http_post import retry_after
from services.dispatcher.notification import Notification
from services.dispatcher.webhook import signature
from tests.dispatcher.conftest import FAST, Bench, answers, record


def test_the_body_is_alertmanagers_version_4(bench: Bench, httpserver: HTTPServer) -> None:
    seen = answers(httpserver, Response("ok"))
    bench.add("hook", "webhook", url=httpserver.url_for("/hook"))
    assert bench.deliver(record()) is Outcome.DELIVERED
    (request,) = seen
    assert request.headers["Idempotency-Key"] == "n-1"
    assert request.headers["Content-Type"] == "application/json"
    assert request.get_json() == {
        "receiver": "hook",
        "status": "firing",
        "alerts": [
            {
                "status": "firing",
                "labels": {"alertname": "latency", "application_id": "chat"},
                "annotations": {"summary": "p95 3.2 s <b>"},
                "startsAt": "2026-01-02T03:04:05.000Z",
                "endsAt": "0001-01-01T00:00:00Z",
                "generatorURL": "http://127.0.0.1/a",
                "fingerprint": "f00d",
            }
        ],
        "groupLabels": {"application_id": "chat"},
        "commonLabels": {"alertname": "latency"},
        "commonAnnotations": {"summary": "p95 3.2 s <b>"},
        "externalURL": "http://127.0.0.1/",
        "version": "4",
        "groupKey": "acme|latency",
        "truncatedAlerts": 0,
    }
    assert bench.ledger() == ("delivered", 1, None)


def test_alerts_beyond_the_receivers_limit_are_counted(bench: Bench, httpserver: HTTPServer) -> None:
    seen = answers(httpserver, Response("ok"))
    bench.add("hook", "webhook", url=httpserver.url_for("/hook"), maxAlerts=2)
    alert = {"status": "resolved", "startsAt": "2026-01-01T00:00:00Z", "endsAt": "2026-01-01T00:01:00Z"}
    bench.deliver(record(status="resolved", alerts=[alert] * 5))
    body = seen[0].get_json()
    assert (len(body["alerts"]), body["truncatedAlerts"], body["status"]) == (2, 3, "resolved")
    assert body["alerts"][0]["endsAt"] == "2026-01-01T00:01:00Z"


def test_a_signed_body_can_be_checked_by_the_standard(bench: Bench, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    seen = answers(httpserver, Response("ok"))
    bench.add("hook", "webhook", url=httpserver.url_for("/hook"), signingSecret="${HOOK_SECRET}")
    assert bench.deliver(record()) is Outcome.DELIVERED
    headers, body = seen[0].headers, seen[0].get_data()
    assert headers["webhook-id"] == "n-1"
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    wanted = hmac.new(key, f"n-1.{headers['webhook-timestamp']}.".encode() + body, hashlib.sha256).digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(wanted).decode()


def test_the_signature_of_the_standards_example() -> None:
    body = b'{"test": 2432232314}'
    made = signature("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_passing_trouble_is_retried(bench: Bench, httpserver: HTTPServer, status: int) -> None:
    seen = answers(httpserver, Response("busy", status), Response("busy", status), Response("ok"))
    bench.add("hook", "webhook", url=httpserver.url_for("/hook"))
    assert bench.deliver(record()) is Outcome.DELIVERED
    assert len({request.get_data() for request in seen}) == 1
    assert bench.ledger() == ("delivered", 3, None)


def test_five_attempts_then_the_dead_letter(bench: Bench, httpserver: HTTPServer) -> None:
    seen = answers(httpserver, Response("database is down", 500))
    bench.add("hook", "webhook", url=httpserver.url_for("/hook"))
    dead = record()
    assert bench.deliver(dead) is Outcome.DEAD
    assert len(seen) == 5
    assert bench.ledger() == ("dead", 5, "HTTP 500 database is down")
    (letter,) = bench.letters
    assert (letter.record, letter.notification_id, letter.attempts) == (dead, "n-1", 5)


@pytest.mark.parametrize("status", [301, 400, 401, 404, 410])
def test_a_refusal_is_not_repeated_and_redirects_are_not_followed(bench: Bench, httpserver: HTTPServer, status: int) -> None:
    elsewhere = answers(httpserver, Response("no", status, {"Location": httpserver.url_for("/other")}))
    httpserver.expect_request("/other").respond_with_data("ok")
    bench.add("hook", "webhook", url=httpserver.url_for("/hook"))
    assert bench.deliver(record()) is Outcome.DEAD
    assert len(elsewhere) == len(httpserver.log) == 1


def test_retry_after_is_kept(bench: Bench, httpserver: HTTPServer) -> None:
    answers(httpserver, Response("", 429, {"Retry-After": "1"}), Response("ok"))
    bench.add("hook", "webhook", url=httpserver.url_for("/hook"))
    started = time.monotonic()
    assert bench.deliver(record()) is Outcome.DELIVERED
    assert 1.0 <= time.monotonic() - started < 3


def test_an_absurd_retry_after_is_bounded(bench: Bench, httpserver: HTTPServer) -> None:
    answers(httpserver, Response("", 503, {"Retry-After": "999999999"}), Response("ok"))
    bench.add("hook", "webhook", url=httpserver.url_for("/hook"))
    assert bench.deliver(record(), policy=RetryPolicy(wait_initial_s=0.01, jitter_s=0, retry_after_max_s=0.2)) is Outcome.DELIVERED


def test_both_forms_of_retry_after() -> None:
    assert retry_after("120") == 120
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert retry_after(date) == pytest.approx(90, abs=2)
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert retry_after("soon") is None
    assert retry_after(None) is None


def test_a_hanging_receiver_delays_nobody(bench: Bench, httpserver: HTTPServer) -> None:
    answers(httpserver, Response("ok"))
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        bench.add("deaf", "webhook", url=f"http://127.0.0.1:{hanging.getsockname()[1]}/", timeout_s=1.5)
        bench.add("hook", "webhook", url=httpserver.url_for("/hook"))

        async def both(delivery: Delivery[Notification]) -> tuple[float, Outcome]:
            started = time.monotonic()
            deaf = [asyncio.create_task(delivery.deliver(record(f"d-{i}", "deaf"))) for i in range(20)]
            await asyncio.gather(*(delivery.deliver(record(f"h-{i}")) for i in range(20)))
            took = time.monotonic() - started
            return took, (await asyncio.gather(*deaf))[0]

        took, outcome = bench.run(both, policy=RetryPolicy(attempts=1))
    assert took < 1.0
    assert outcome is Outcome.DEAD
    assert bench.ledger("d-0")[2] == "no answer within 1.5 s"


def test_no_secret_reaches_ledger_or_log(
    bench: Bench, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    url = httpserver.url_for("/hook?token=s3cret")
    monkeypatch.setenv("HOOK_URL", url)
    monkeypatch.setenv("HOOK_TOKEN", "bear3r")
    seen = answers(httpserver, Response(f"cannot serve {url} for Bearer bear3r", 400))
    bench.add("hook", "webhook", url="${HOOK_URL}", bearer_token="${HOOK_TOKEN}")
    assert bench.deliver(record()) is Outcome.DEAD
    assert seen[0].headers["Authorization"] == "Bearer bear3r"
    told = repr(bench.ledger()) + repr(bench.letters) + capfdbinary.readouterr().err.decode()
    assert "s3cret" not in told
    assert "bear3r" not in told
    assert "HTTP 400 cannot serve ***" in told


@pytest.mark.parametrize(
    ("kind", "config", "reason"),
    [
        ("webhook", {"url": "${NOT_SET_HERE}"}, "receiver 'hook': environment variable NOT_SET_HERE is not set"),
        ("webhook", {"url": "ftp://x/"}, "expected an address that begins with http:// or https://"),
        ("webhook", {"url_file": "/nowhere/url"}, "receiver 'hook': cannot read secret file /nowhere/url: No such file or directory"),
        ("email", {"smarthost": "mail:25", "from": "a@b.example"}, "receiver 'hook': to: Field required"),
        (
            "telegraph",
            {},
            "receiver 'hook' has type 'telegraph': expected one of webhook, email, slack, teams, pagerduty, apprise, incident",
        ),
    ],
)
def test_wrong_settings_are_said_and_not_retried(bench: Bench, kind: str, config: dict[str, str], reason: str) -> None:
    bench.add("hook", kind, **config)
    assert bench.deliver(record()) is Outcome.DEAD
    assert bench.letters[0].attempts == 1
    assert reason in bench.letters[0].reason


def test_a_receiver_that_the_configuration_lacks_gets_time_to_appear(bench: Bench) -> None:
    assert bench.deliver(record(receiver="new")) is Outcome.DEAD
    assert bench.letters[0].attempts == FAST.attempts
    assert bench.letters[0].reason == "receiver 'new' is not in configuration version 3"


@pytest.mark.parametrize(
    "value", [b"", b"{", b"\xff\xfe", b'{"notification_id": "\\u0000", "receiver": "r", "status": "firing"}', b"[" * 5000]
)
def test_a_record_that_is_no_notification_becomes_a_dead_letter(bench: Bench, value: bytes) -> None:
    assert bench.deliver(Record("notify-hook", 0, 7, value)) is Outcome.DEAD
    (letter,) = bench.letters
    assert letter.record.value == value
    assert letter.reason.startswith("not a notification record: ")
