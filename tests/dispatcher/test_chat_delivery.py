"""Slack and Teams: messages within the published limits, and what counts as accepted."""

import json
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Response

from services.dispatcher import slack, teams
from services.dispatcher.delivery import Outcome
from services.dispatcher.notification import Notification, parse
from tests.dispatcher.conftest import Bench, answers, record
from tests.support.published_schemas import check_slack


def alert(number: int, size: int = 10) -> dict[str, Any]:
    return {
        "status": "firing" if number % 2 else "resolved",
        "labels": {"alertname": "latency", "model": f"m-{number}", "note": "<&>" * size},
        "annotations": {"summary": "<&>" * size, "description": "d" * size},
        "startsAt": "2026-01-02T03:04:05.000Z",
    }


def large() -> Notification:
    """200 alerts with annotations of a megabyte in all, every second character one that Slack escapes."""
    labels = {f"label-{number}": "<&>" * 2_000 for number in range(30)}
    alerts = [alert(number, 2_000) for number in range(200)]
    return parse(record(alerts=alerts, title="&" * 500, text="<" * 9_000, common_labels=labels).value)


@pytest.mark.parametrize("notification", [parse(record().value), large(), parse(record(alerts=[], title="", text="").value)])
def test_a_slack_message_is_within_the_limits(notification: Notification) -> None:
    message = slack.message(notification)
    check_slack(message)
    assert "&amp;amp" not in json.dumps(message)


def test_the_slack_check_can_fail() -> None:
    message = slack.message(large())
    message["blocks"][0]["text"]["text"] = "x" * 151
    with pytest.raises(Exception, match="150"):
        check_slack(message)


def test_slack_gets_one_message_of_blocks(bench: Bench, httpserver: HTTPServer) -> None:
    seen = answers(httpserver, Response("ok"))
    bench.add("hook", "slack", webhookUrl=httpserver.url_for("/hook"), channel="#incidents")
    assert bench.deliver(record(alerts=[alert(1), alert(2)])) is Outcome.DELIVERED
    body = seen[0].get_json()
    check_slack(body)
    assert body["channel"] == "#incidents"
    assert body["text"] == body["blocks"][0]["text"]["text"] == "[FIRING:1] Latency of chat"
    assert [block["type"] for block in body["blocks"]] == ["header", "section", "section", "section", "section", "actions", "context"]
    assert "[firing] &lt;&amp;&gt;" in body["blocks"][3]["text"]["text"]


@pytest.mark.parametrize(
    ("answer", "attempts", "reason"),
    [
        (Response("invalid_payload", 400), 1, "HTTP 400 invalid_payload"),
        (Response("channel_is_archived", 410), 1, "HTTP 410 channel_is_archived"),
        (Response("rollup_error", 500), 5, "HTTP 500 rollup_error"),
        (Response("no_service", 200), 1, "HTTP 200, and not ok: no_service"),
        (Response("<html>maintenance</html>", 200), 5, "HTTP 200, and not ok: <html>maintenance</html>"),
        (Response("", 200), 5, "HTTP 200, and not ok: an empty body"),
        (Response("ok", 201), 5, "HTTP 201 ok"),
        (Response("ok\n", 200), 5, "HTTP 200, and not ok: ok"),
    ],
)
def test_anything_but_200_with_ok_is_a_failure(bench: Bench, httpserver: HTTPServer, answer: Response, attempts: int, reason: str) -> None:
    answers(httpserver, answer)
    bench.add("hook", "slack", webhookUrl=httpserver.url_for("/hook"))
    assert bench.deliver(record()) is Outcome.DEAD
    assert bench.ledger()[0] == "dead"
    assert bench.letters[0].reason.strip() == reason
    assert bench.letters[0].attempts == (1 if answer.status_code == 201 else attempts)


def check_card(message: dict[str, Any]) -> None:
    """What Teams asks of a message: its size, one card, and texts in every block."""
    assert len(json.dumps(message, ensure_ascii=False).encode()) <= 28 * 1024
    (attachment,) = message["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    card = attachment["content"]
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
    for block in card["body"]:
        assert block["type"] in ("TextBlock", "FactSet")
        assert block.get("text") or all(fact["title"] and fact["value"] for fact in block["facts"])


@pytest.mark.parametrize("notification", [parse(record().value), large(), parse(record(alerts=[], title="", text="").value)])
def test_a_teams_card_is_within_the_limits(notification: Notification) -> None:
    check_card(teams.message(notification))


@pytest.mark.parametrize(
    ("answer", "outcome", "attempts"),
    [
        (Response("", 202), Outcome.DELIVERED, 1),
        (Response("1", 200), Outcome.DELIVERED, 1),
        (Response("Webhook message delivery failed with error: HTTP error 429", 200), Outcome.DEAD, 5),
        (Response("Bad payload", 400), Outcome.DEAD, 1),
    ],
)
def test_what_teams_accepts(bench: Bench, httpserver: HTTPServer, answer: Response, outcome: Outcome, attempts: int) -> None:
    seen = answers(httpserver, answer)
    bench.add("hook", "teams", webhookUrl=httpserver.url_for("/hook"))
    assert bench.deliver(record()) is outcome
    assert bench.ledger()[1] == attempts == len(seen)
    check_card(seen[0].get_json())
