"""Who is told of incidents: the Incident Manager beside the routes, when a definition or `autoCreate` asks for it."""

from typing import Any

import pytest

from sentinel.alerting.group import AlertGroup
from sentinel.alerting.matching import match
from sentinel.alerting.records import NotificationRecord
from sentinel.anomaly import Anomaly
from sentinel.config.errors import ConfigError
from sentinel.config.load import parse_config
from sentinel.config.runtime import RuntimeConfig

NOW = "2026-03-02T12:00:00.000Z"
RECEIVERS = "receivers: [{name: hook, type: webhook, config: {url: 'http://127.0.0.1/'}}]"
MANAGER = "integrations: {incidentManager: {endpoint: 'http://127.0.0.1:1'%s}}"


def told(actions: str, integrations: str) -> dict[str, NotificationRecord]:
    text = f"""
alerting:
  grouping: {{groupWait: 0s}}
  routing: {{defaultReceiver: hook}}
  {RECEIVERS}
  definitions: [{{alert_id: d, name: D, conditions: {{trigger: anomaly}}, actions: [{actions}]}}]
{integrations}
"""
    config = RuntimeConfig.from_snapshot(1, parse_config(text, "test").config.to_snapshot())
    anomaly = Anomaly(
        anomaly_id="an-1",
        timestamp=NOW,
        detector_id="latency",
        severity="critical",
        score=1.0,
        tenant_id="acme",
        application_id="chat",
        first_seen=NOW,
        last_seen=NOW,
        correlation={"group_id": "c-1"},
    )
    outputs: list[Any] = []
    for key in match(anomaly, config):
        group = AlertGroup.from_state(key, None, config)
        outputs += group.on_anomaly(anomaly, 1_000) + group.on_timer(1_500)
    return {record.receiver: record for record in outputs if isinstance(record, NotificationRecord)}


@pytest.mark.parametrize(
    ("actions", "integrations", "receivers"),
    [
        ("{type: notification}, {type: incident}", MANAGER % "", {"hook", "incident-manager"}),
        ("{type: notification}", MANAGER % "", {"hook"}),
        ("{type: notification}", MANAGER % ", autoCreate: {enabled: true}", {"hook", "incident-manager"}),
        ("{type: notification}", MANAGER % ", enabled: false, autoCreate: {enabled: true}", {"hook"}),
        ("{type: notification}, {type: incident}", "", {"hook"}),
        ("{type: incident}", MANAGER % "", {"incident-manager"}),
    ],
)
def test_beside_the_routes(actions: str, integrations: str, receivers: set[str]) -> None:
    found = told(actions, integrations)
    assert set(found) == receivers
    if "incident-manager" in found:
        record = found["incident-manager"]
        assert record.receiver_type == "incident"
        assert record.alerts[0].annotations["correlation_group"] == "c-1"


@pytest.mark.parametrize(("action", "receivers"), [("{}", {"one", "two"}), ("{receivers: [two]}", {"two"})])
def test_of_several_incident_managers_those_are_told_that_the_action_names(
    monkeypatch: pytest.MonkeyPatch, action: str, receivers: set[str]
) -> None:
    monkeypatch.setitem(globals(), "RECEIVERS", RECEIVERS.replace("]", ", {name: one, type: incident}, {name: two, type: incident}]"))
    assert set(told(f"{{type: incident, config: {action}}}", MANAGER % "")) == receivers


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("alerting: {receivers: [{name: i, type: incident}]}", "expected integrations.incidentManager"),
        (MANAGER % ", autoCreate: {conditions: [{score: 'about 0.9'}]}", "expected a comparison of the score"),
        (MANAGER % ", mapping: {fields: {title: '{{ x.__class__() }}'}}", "not allowed in a message template"),
        (MANAGER % ", mapping: {fields: {titel: x}}", "expected one of title, description, source, tags"),
    ],
)
def test_a_mistake_is_refused_at_the_door(text: str, reason: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_config(text, "test")
    assert reason in str(refused.value)
