"""PagerDuty Events v2: events against PagerDuty's own OpenAPI document, the life of an incident, and what counts as accepted."""

import hashlib
import json
from typing import Any

import jsonschema
import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from services.dispatcher import pagerduty
from services.dispatcher.delivery import Outcome
from services.dispatcher.notification import parse
from tests.dispatcher.conftest import Bench, answers, record
from tests.support.published_schemas import check_pagerduty

GROUP_KEY = hashlib.sha256(b"acme\nhook\nacme|latency").hexdigest()
KEY = "0123456789abcdef0123456789abcdef"


def test_an_event_is_what_the_contract_says() -> None:
    event = pagerduty.event(parse(record().value), KEY)
    check_pagerduty(event)
    assert (event["event_action"], event["dedup_key"], event["routing_key"]) == ("trigger", GROUP_KEY, KEY)
    assert event["payload"]["severity"] == "critical"
    assert event["payload"]["custom_details"]["num_firing"] == 1
    assert event["links"] == [{"href": "http://127.0.0.1/a", "text": "Alert in LLM-Sentinel"}]


def test_the_check_can_fail() -> None:
    event = pagerduty.event(parse(record().value), KEY)
    event["payload"]["severity"] = "fatal"
    with pytest.raises(jsonschema.ValidationError):
        check_pagerduty(event)


@pytest.mark.parametrize(
    ("changes", "action"),
    [
        ({}, "trigger"),
        ({"severity": "unheard-of"}, "trigger"),
        ({"status": "acknowledged"}, "acknowledge"),
        ({"status": "resolved", "alerts": []}, "resolve"),
        ({"title": "", "text": "", "tenant_id": "", "common_labels": {}, "alerts": [], "external_url": "javascript:x"}, "trigger"),
    ],
)
def test_each_state_is_an_action(changes: dict[str, Any], action: str) -> None:
    event = pagerduty.event(parse(record(**changes).value), KEY)
    check_pagerduty(event)
    assert event["event_action"] == action


def test_what_is_too_long_loses_its_details_and_not_the_event() -> None:
    alerts = [
        {"status": "firing", "labels": {"n": str(n)}, "annotations": {"a": "ä" * 1_000_000}, "startsAt": "2026-01-01T00:00:00Z"}
        for n in range(60)
    ]
    event = pagerduty.event(parse(record(alerts=alerts, title="t" * 5_000).value), KEY)
    check_pagerduty(event)
    assert list(event["payload"]["custom_details"]) == ["error"]
    assert "longer than 512000" in event["payload"]["custom_details"]["error"]


def test_one_incident_a_group_and_none_shared_by_tenants() -> None:
    keys = [
        pagerduty.dedup_key(parse(record(receiver=receiver, group_key=group, tenant_id=tenant).value))
        for receiver, group, tenant in (("a", "g", "acme"), ("b", "g", "acme"), ("a", "h", "acme"), ("a", "g", "umbrella"))
    ]
    assert len(set(keys)) == 4


def test_trigger_and_resolve_of_a_life(bench: Bench, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGERDUTY_KEY", KEY)
    events: list[dict[str, Any]] = []

    def enqueue(request: Request) -> Response:
        events.append(request.get_json())
        return Response(json.dumps({"status": "success", "message": "Event processed", "dedup_key": events[-1]["dedup_key"]}), 202)

    httpserver.expect_request("/v2/enqueue", method="POST").respond_with_handler(enqueue)
    bench.add("pager", "pagerduty", serviceKey="${PAGERDUTY_KEY}", url=httpserver.url_for("/v2/enqueue"))
    assert bench.deliver(record("n-1", receiver="pager")) is Outcome.DELIVERED
    assert bench.deliver(record("n-2", receiver="pager", status="resolved", alerts=[])) is Outcome.DELIVERED
    assert [event["event_action"] for event in events] == ["trigger", "resolve"]
    assert len({event["dedup_key"] for event in events}) == 1


@pytest.mark.parametrize(
    ("answer", "attempts", "reason"),
    [
        (Response('{"status": "invalid event", "errors": ["routing_key"]}', 400), 1, "HTTP 400"),
        (Response("slow down", 429), 5, "HTTP 429 slow down"),
        (Response('{"status": "error"}', 202), 5, "HTTP 202, and not an acceptance"),
        (Response("hello", 200), 5, "HTTP 200, and not an acceptance: hello"),
    ],
)
def test_what_is_no_acceptance(bench: Bench, httpserver: HTTPServer, answer: Response, attempts: int, reason: str) -> None:
    answers(httpserver, answer)
    bench.add("hook", "pagerduty", routingKey=KEY, url=httpserver.url_for("/hook"))
    assert bench.deliver(record()) is Outcome.DEAD
    assert bench.letters[0].attempts == attempts
    assert bench.letters[0].reason.startswith(reason)
    assert KEY not in repr(bench.letters)
