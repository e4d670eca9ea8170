"""Stand-ins for Slack, PagerDuty and a webhook with a signature: they take what the published schemas allow, and refuse the rest as the services do."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from tests.support.published_schemas import check_pagerduty, check_slack

SECRET = "whsec_" + base64.b64encode(b"a secret of this test").decode()
WEBHOOK_SECRET = "secret-of-the-v3-subscription"
ROUTING_KEY = "0123456789abcdef0123456789abcdef"


@dataclass
class OnCall:
    """Where they listen, and what they took; `refused` are reasons for which they did not."""

    slack_url: str
    pagerduty_url: str
    signed_url: str
    boss_url: str
    slack: list[dict[str, Any]] = field(default_factory=list)
    pagerduty: list[dict[str, Any]] = field(default_factory=list)
    signed: list[dict[str, Any]] = field(default_factory=list)
    boss: list[dict[str, Any]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


@contextmanager
def running_on_call() -> Iterator[OnCall]:
    """All of them on one server on a free port."""
    server = HTTPServer(host="127.0.0.1", port=0)
    server.start()
    urls = [server.url_for(path) for path in ("/slack", "/v2/enqueue", "/signed", "/boss")]
    on_call = OnCall(*urls)

    def door(kept: list[dict[str, Any]], check: Callable[[Request, Any], None], taken: Callable[[Any], Response], refusal: str) -> Any:
        def handle(request: Request) -> Response:
            body = json.loads(request.get_data())
            try:
                check(request, body)
            except Exception as error:
                on_call.refused.append(f"{request.path}: {type(error).__name__}: {error}"[:500])
                return Response(refusal, 400)
            kept.append(body)
            return taken(body)

        return handle

    def enqueued(event: Any) -> Response:
        said = {"status": "success", "message": "Event processed", "dedup_key": event["dedup_key"]}
        return Response(json.dumps(said), 202, mimetype="application/json")

    def ok(_: Any) -> Response:
        return Response("ok")

    doors = {
        "/slack": door(on_call.slack, lambda _, body: check_slack(body), ok, "invalid_payload"),
        "/v2/enqueue": door(on_call.pagerduty, _check_event, enqueued, '{"status":"invalid event"}'),
        "/signed": door(on_call.signed, lambda request, _: check_signature(request), ok, "bad signature"),
        "/boss": door(on_call.boss, lambda *_: None, ok, ""),
    }
    for path, handler in doors.items():
        server.expect_request(path, method="POST").respond_with_handler(handler)
    try:
        yield on_call
    finally:
        server.stop()


def _check_event(_: Request, event: dict[str, Any]) -> None:
    check_pagerduty(event)
    assert event["routing_key"] == ROUTING_KEY, "unknown integration"


def check_signature(request: Request) -> None:
    """As the Standard Webhooks specification says to verify: HMAC-SHA256 over `id.timestamp.body` with the secret's bytes."""
    signed = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.get_data()
    wanted = hmac.new(base64.b64decode(SECRET.removeprefix("whsec_")), signed, hashlib.sha256).digest()
    version, _, given = request.headers["webhook-signature"].partition(",")
    assert version == "v1" and hmac.compare_digest(base64.b64decode(given), wanted)


def acknowledged(dedup_key: str, event_id: str) -> tuple[bytes, dict[str, str]]:
    """Body and headers of PagerDuty's v3 webhook when somebody acknowledges the incident."""
    data = {"id": "PGR0VU2", "type": "incident", "incident_key": dedup_key, "html_url": "https://acme.pagerduty.com/incidents/PGR0VU2"}
    agent = {"id": "P1", "type": "user_reference", "summary": "Ada Lovelace"}
    event = {"id": event_id, "event_type": "incident.acknowledged", "resource_type": "incident", "agent": agent, "data": data}
    body = json.dumps({"event": event}).encode()
    signature = hmac.new(WEBHOOK_SECRET.encode(), body, hashlib.sha256).hexdigest()
    return body, {"X-PagerDuty-Signature": f"v1={signature}", "Content-Type": "application/json"}
