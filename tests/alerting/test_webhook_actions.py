"""A definition's webhook action: its address is called, beside whom the routes tell, as a receiver of its own."""

from __future__ import annotations

from typing import Any

import pytest

from sentinel.alerting.group import AlertGroup
from sentinel.alerting.matching import match
from sentinel.alerting.records import AlertRecord, NotificationRecord
from sentinel.anomaly import Anomaly
from sentinel.config.errors import ConfigError
from sentinel.config.load import parse_config
from sentinel.config.runtime import RuntimeConfig

NOW = "2026-03-02T12:00:00.000Z"
HOOK = "{type: webhook, config: {url: 'http://127.0.0.1:9/own', signing_secret: '${OWN}'}}"


def text_of(actions: str, definition: str = "alert_id: slow") -> str:
    return f"""
alerting:
  grouping: {{groupWait: 0s, groupInterval: 1h}}
  routing:
    routes:
      - {{matchers: ['severity="critical"'], receivers: [hook], continue: true}}
      - {{matchers: ['severity="critical"'], receivers: [mail]}}
  receivers:
    - {{name: hook, type: webhook, config: {{url: 'http://127.0.0.1:9/'}}}}
    - {{name: mail, type: webhook, config: {{url: 'http://127.0.0.1:9/'}}}}
    - {{name: boss, type: webhook, config: {{url: 'http://127.0.0.1:9/'}}}}
  escalationPolicies: [{{name: up, steps: [{{after: 1m, receivers: [boss]}}]}}]
  definitions: [{{{definition}, name: D, conditions: {{trigger: anomaly}}, actions: [{actions}]}}]
"""


def outputs(text: str, until_ms: int = 2_000) -> list[Any]:
    """What one critical anomaly leads to."""
    config = RuntimeConfig.from_snapshot(1, parse_config(text, "test").config.to_snapshot())
    values: dict[str, Any] = {"anomaly_id": "an-1", "timestamp": NOW, "first_seen": NOW, "last_seen": NOW}
    values |= {"detector_id": "d", "severity": "critical", "score": 1.0, "tenant_id": "acme", "application_id": "chat"}
    found: list[Any] = []
    for key in match(Anomaly(**values), config):
        group = AlertGroup.from_state(key, None, config)
        found += group.on_anomaly(Anomaly(**values), 1_000) + group.on_timer(until_ms)
    return found


def told(text: str, until_ms: int = 2_000) -> list[str]:
    return [record.receiver for record in outputs(text, until_ms) if isinstance(record, NotificationRecord)]


@pytest.mark.parametrize(
    ("actions", "receivers"),
    [
        (HOOK, ["webhook-slow"]),
        ("{type: webhook, config: {receivers: [boss]}}", ["boss"]),
        ("{type: notification}, " + HOOK, ["hook", "mail", "webhook-slow-1"]),
        ("{type: notification, config: {receivers: [boss]}}, " + HOOK, ["boss", "webhook-slow-1"]),
        (
            "{type: webhook, config: {url: 'http://a/', receivers: [boss]}}, {type: webhook, config: {url: 'http://b/'}}",
            ["boss", "webhook-slow", "webhook-slow-1"],
        ),
        ("{type: shield, config: {action: block, endpoint: 'grpc://127.0.0.1:1'}}", []),
    ],
)
def test_the_actions_say_who_is_told(actions: str, receivers: list[str]) -> None:
    assert sorted(told(text_of(actions))) == sorted(receivers)


def test_an_alert_that_only_asks_shield_is_an_alert() -> None:
    records = [
        r for r in outputs(text_of("{type: shield, config: {action: block, endpoint: 'grpc://127.0.0.1:1'}}")) if isinstance(r, AlertRecord)
    ]
    assert [(record.status, len(record.shield)) for record in records] == [("firing", 1)]


def test_it_becomes_a_receiver_with_all_that_receivers_have() -> None:
    snapshot = parse_config(text_of(HOOK), "test").config.to_snapshot()
    own = snapshot["alerting"]["receivers"][-1]
    assert (own["name"], own["type"], own["sendResolved"]) == ("webhook-slow", "webhook", True)
    assert {name: own["config"][name] for name in ("url", "signingSecret")} == {"url": "http://127.0.0.1:9/own", "signingSecret": "${OWN}"}
    assert snapshot["alerting"]["definitions"][0]["actions"] == [{"type": "webhook", "config": {"receivers": ["webhook-slow"]}}]


def test_names_that_are_no_names_of_receivers_do_not_meet() -> None:
    names = {
        parse_config(text_of(HOOK, f'alert_id: "{alert}"'), "t").config.alerting.receivers[-1].name
        for alert in ("a b", "a/b", "a-b", "ä" * 300)
    }
    assert len(names) == 4


@pytest.mark.parametrize(
    ("config", "place", "reason"),
    [
        ("{url: 'ftp://x'}", "alerting.definitions[0].actions[0].config.url", "expected an http:// or https:// address"),
        ("{url: 'http://x/', singing_secret: '${X}'}", "alerting.definitions[0].actions[0].config.singing_secret", "signing"),
        ("{url: 'http://x/', headers: {Authorization: abc}}", "alerting.definitions[0].actions[0].config", "expected header"),
        ("{}", "alerting.definitions[0].actions[0].config", "expected url or urlFile, or the names of receivers"),
        ("{receivers: [bos]}", "alerting.definitions[0].actions[0].config.receivers[0]", "boss"),
    ],
)
def test_settings_that_are_wrong_are_refused_where_they_are_written(config: str, place: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(text_of(f"{{type: webhook, config: {config}}}"), "test")
    assert place in str(caught.value) and reason in str(caught.value)


def test_escalation_is_of_the_routes_and_tells_each_receiver_once() -> None:
    """Two routes and a webhook tell about the alert; one policy means one escalation."""
    text = text_of("{type: notification}, " + HOOK, "alert_id: slow, escalation: up")
    assert sorted(told(text, until_ms=100_000)) == ["boss", "hook", "mail", "webhook-slow-1"]


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("{type: notification, config: {recievers: [boss]}}", "config.recievers: expected a known key; did you mean receivers?"),
        ("{type: incident, config: {template: t}}", "config.template: expected a known key"),
        ("{type: incident, config: {severty: P1}}", "config.severty: expected a known key; did you mean severity?"),
    ],
)
def test_a_misspelt_setting_of_an_action_is_refused(action: str, expected: str) -> None:
    """Else the routes would tell others than were meant."""
    with pytest.raises(ConfigError) as refused:
        parse_config(text_of(action), "test")
    assert expected in str(refused.value)


def test_a_message_template_that_is_not_there_is_warned_of() -> None:
    loaded = parse_config(text_of("{type: notification, config: {template: critical-anomaly, priority: high}}"), "test")
    assert ["alerting.templates has no critical-anomaly: the usual message is sent" in str(warning) for warning in loaded.warnings].count(
        True
    ) == 1
