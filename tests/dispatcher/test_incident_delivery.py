"""The Incident Manager over HTTP, checked against the request of the specification: one incident a correlated group, updated and closed."""

import json
from typing import Any

import jsonschema
import psycopg
import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from services.dispatcher.delivery import Outcome
from tests.dispatcher.conftest import Bench, record

CREATE = {
    "type": "object",
    "required": ["source", "incident_type", "severity", "title", "description", "metadata", "affected_entities", "remediation_actions"],
    "properties": {
        "source": {"const": "llm-sentinel"},
        "incident_type": {"const": "anomaly_detected"},
        "severity": {"enum": ["P1", "P2", "P3"]},
        "title": {"type": "string", "minLength": 1, "maxLength": 300},
        "description": {"type": "string"},
        "metadata": {
            "type": "object",
            "required": ["anomaly_id", "detector_id", "application_id", "score", "timestamp"],
            "properties": {"score": {"type": "number"}, "timestamp": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT[\d:.]+Z$"}},
        },
        "affected_entities": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["type", "id", "name"],
                "properties": {"type": {"enum": ["application", "model", "user", "endpoint"]}},
                "additionalProperties": {"type": "string"},
            },
        },
        "remediation_actions": {"type": "array", "minItems": 1, "items": {"type": "string"}},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "additionalProperties": False,
}
"""The payload of the specification (Incident Manager Integration), with our tags."""


class Manager:
    """An Incident Manager: refuses what the specification does not say, keeps incidents, knows repeats by their idempotency key."""

    def __init__(self, server: HTTPServer) -> None:
        self.incidents: dict[str, dict[str, Any]] = {}
        self.requests: list[Request] = []
        self.answers: list[Response] = []
        self._keys: dict[str, str] = {}
        server.expect_request("/api/v1/incidents", method="POST").respond_with_handler(self._create)
        for number in range(1, 10):
            server.expect_request(f"/api/v1/incidents/INC-{number}", method="PATCH").respond_with_handler(self._change)

    def _create(self, request: Request) -> Response:
        self.requests.append(request)
        content = request.get_json()
        jsonschema.validate(content, CREATE)
        if self.answers:
            return self.answers.pop(0)
        name = self._keys.setdefault(request.headers["Idempotency-Key"], f"INC-{len(self._keys) + 1}")
        self.incidents[name] = {"status": "open", **content}
        return Response(json.dumps({"id": name}), 201, content_type="application/json")

    def _change(self, request: Request) -> Response:
        self.requests.append(request)
        name = request.path.rpartition("/")[2]
        if name not in self.incidents:
            return Response("no such incident", 404)
        self.incidents[name] |= request.get_json()
        return Response("{}")


@pytest.fixture
def manager(bench: Bench, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> Manager:
    monkeypatch.setenv("INCIDENT_KEY", "k3y-of-incidents")
    bench.sections["integrations"] = {"incidentManager": {"enabled": True, "endpoint": httpserver.url_for(""), "apiKey": "${INCIDENT_KEY}"}}
    bench.add("incident-manager", "incident")
    return Manager(httpserver)


def notice(number: int, group: str = "g-1", status: str = "firing", correlation: str = "", **changes: Any) -> Any:
    labels = {"alertname": "tokens", "detector_id": "token-rate-spike", "application_id": "chat", "severity": "warning", "model": "gpt-4"}
    annotations = {
        "summary": "Token rate spike",
        "description": "450 % above baseline",
        "score": "0.87",
        "anomaly_id": "660e8400-e29b-41d4-a716-446655440001",
        "correlation_group": correlation,
    }
    alert = {"status": status, "labels": labels, "annotations": annotations, "startsAt": "2026-01-02T03:04:05.000Z"}
    usual = {"group_key": group, "status": status, "severity": "warning", "alerts": [alert], "common_labels": labels}
    return record(f"n-{number}", receiver="incident-manager", **(usual | changes))


def test_the_request_is_the_specifications(bench: Bench, manager: Manager) -> None:
    assert bench.deliver(notice(1)) is Outcome.DELIVERED
    (request,) = manager.requests
    assert request.headers["Authorization"] == "Bearer k3y-of-incidents"
    body = request.get_json()
    assert (body["severity"], body["title"], body["description"]) == ("P2", "Token rate spike", "450 % above baseline")
    assert body["metadata"]["score"] == 0.87
    assert body["affected_entities"] == [
        {"type": "model", "id": "gpt-4", "name": "gpt-4"},
        {"type": "application", "id": "chat", "name": "chat"},
    ]
    assert body["remediation_actions"][:2] == ["Investigate recent changes to chat", "Review token usage patterns of chat"]
    assert bench.ledger() == ("delivered", 1, "created INC-1")


def test_one_incident_is_updated_and_closed(bench: Bench, manager: Manager) -> None:
    for number, status in enumerate(("firing", "firing", "resolved", "resolved", "firing"), 1):
        assert bench.deliver(notice(number, status=status, severity="critical")) is Outcome.DELIVERED
    assert [bench.ledger(f"n-{number}")[2] for number in range(1, 6)] == [
        "created INC-1",
        "updated INC-1",
        "closed INC-1",
        "no incident was open",
        "created INC-2",
    ]
    assert [(name, entry["status"]) for name, entry in manager.incidents.items()] == [("INC-1", "resolved"), ("INC-2", "open")]
    with psycopg.connect(bench.dsn) as connection:
        states = connection.execute("SELECT incident_id, state, firing_groups FROM analytics.incidents ORDER BY 1").fetchall()
    assert states == [("INC-1", "closed", 0), ("INC-2", "open", 1)]


def test_groups_that_are_correlated_share_an_incident_until_the_last_is_over(bench: Bench, manager: Manager) -> None:
    story = [("g-1", "firing", ""), ("g-1", "firing", "c-1"), ("g-2", "firing", "c-1"), ("g-3", "firing", "c-9")]
    story += [("g-1", "resolved", "c-1"), ("g-2", "resolved", "c-1")]
    for number, (group, status, correlation) in enumerate(story, 1):
        assert bench.deliver(notice(number, group, status, correlation)) is Outcome.DELIVERED
    notes = [bench.ledger(f"n-{number}")[2] for number in range(1, 7)]
    assert notes == ["created INC-1", "updated INC-1", "updated INC-1", "created INC-2", "updated INC-1", "closed INC-1"]
    assert manager.incidents["INC-2"]["status"] == "open"


def test_tenants_share_no_incident(bench: Bench, manager: Manager) -> None:
    bench.deliver(notice(1, correlation="c-1"))
    bench.deliver(notice(2, correlation="c-1", tenant_id="umbrella"))
    assert list(manager.incidents) == ["INC-1", "INC-2"]


@pytest.mark.parametrize(
    ("conditions", "created"),
    [
        ([], True),
        ([{"severity": "warning"}, {"score": ">= 0.8"}], True),
        ([{"severity": "critical"}], False),
        ([{"severity": "warning"}, {"score": ">= 0.9"}], False),
        ([{"detector_id": "token-rate-spike"}], True),
    ],
)
def test_an_incident_that_nobody_asked_for_needs_all_conditions(
    bench: Bench, manager: Manager, conditions: list[dict[str, str]], created: bool
) -> None:
    bench.sections["integrations"]["incidentManager"]["autoCreate"] = {"enabled": True, "conditions": conditions}
    assert bench.deliver(notice(1)) is Outcome.DELIVERED
    assert bool(manager.incidents) is created
    assert bench.ledger()[2] == ("created INC-1" if created else "no incident: the conditions for creating one do not hold")


def test_a_definition_asks_with_a_severity_of_its_own(bench: Bench, manager: Manager) -> None:
    bench.sections["integrations"]["incidentManager"]["autoCreate"] = {"conditions": [{"severity": "critical"}]}
    action = {"type": "incident", "config": {"auto_create": True, "severity": "P1"}}
    bench.sections["alerting"] = {"definitions": [{"alert_id": "d", "actions": [{"type": "notification"}, action]}]}
    assert bench.deliver(notice(1, definition_id="d")) is Outcome.DELIVERED
    assert manager.incidents["INC-1"]["severity"] == "P1"


def test_a_definition_asks_with_words_of_its_own(bench: Bench, manager: Manager) -> None:
    bench.sections["integrations"]["incidentManager"]["mapping"] = {"fields": {"title": "of the mapping", "tags": ["mine"]}}
    config = {"title": "{{ .anomaly.application_id }} needs somebody", "text": "See {{ .anomaly.detector_id }}."}
    bench.sections["alerting"] = {"definitions": [{"alert_id": "d", "actions": [{"type": "incident", "config": config}]}]}
    assert bench.deliver(notice(1, definition_id="d")) is Outcome.DELIVERED
    created = manager.incidents["INC-1"]
    assert (created["title"], created["description"], created["tags"]) == ("chat needs somebody", "See token-rate-spike.", ["mine"])


def test_templates_and_severities_of_the_mapping(bench: Bench, manager: Manager) -> None:
    fields = {
        "title": "{{ .anomaly.title }} in {{ .anomaly.application_id }}",
        "tags": ["anomaly:{{ .anomaly.detector_id }}", "{{ .anomaly.nothing }}"],
    }
    bench.sections["integrations"]["incidentManager"]["mapping"] = {"severity": {"warning": "P3"}, "fields": fields}
    bench.deliver(notice(1))
    created = manager.incidents["INC-1"]
    assert (created["severity"], created["title"]) == ("P3", "Token rate spike in chat")
    assert created["tags"] == ["anomaly:token-rate-spike"]


def test_a_repeat_after_a_failure_creates_no_second_incident(bench: Bench, manager: Manager) -> None:
    manager.answers = [Response("busy", 503)]
    assert bench.deliver(notice(1)) is Outcome.DELIVERED
    with psycopg.connect(bench.dsn) as connection:
        connection.execute("DELETE FROM sentinel.incidents")
        connection.execute("UPDATE sentinel.notification_ledger SET state = 'sending'")
    # As if the dispatcher had died after the answer and before the commit.
    assert bench.deliver(notice(1)) is Outcome.DELIVERED
    assert list(manager.incidents) == ["INC-1"]


def test_an_incident_that_somebody_deleted_is_created_again(bench: Bench, manager: Manager) -> None:
    bench.deliver(notice(1))
    manager.incidents.clear()
    assert bench.deliver(notice(2)) is Outcome.DELIVERED
    assert bench.ledger("n-2")[2] == "created INC-1 again"


@pytest.mark.parametrize(
    ("answer", "attempts", "reason"),
    [
        (lambda: Response('{"error": "no"}', 200), 5, "HTTP 200, and no id of an incident"),
        (lambda: Response("bad request", 400), 1, "HTTP 400 bad request"),
        (lambda: Response("", 302, {"Location": "/"}), 1, "HTTP 302 (redirects are not followed)"),
        (lambda: Response("who are you with k3y-of-incidents", 401), 1, "HTTP 401 who are you with ***"),
    ],
)
def test_what_is_no_acceptance(bench: Bench, manager: Manager, answer: Any, attempts: int, reason: str) -> None:
    manager.answers = [answer() for _ in range(5)]
    assert bench.deliver(notice(1)) is Outcome.DEAD
    assert bench.letters[0].attempts == attempts
    assert bench.letters[0].reason.startswith(reason)
