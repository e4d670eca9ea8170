"""Names in templates: what nothing will ever fill is refused at the door, with the nearest name that there is; and the list of names is the true one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from alerting_simulation import T0, anomaly, config, definition, run

from sentinel.alerting.policy import Policy
from sentinel.alerting.template_names import DEFINITION_NAMES, MESSAGE_NAMES, Unknown, unknown_names
from sentinel.alerting.templates import DEFAULT_TEXT, DEFAULT_TITLE, MessageTemplate, Template
from sentinel.config.errors import ConfigError, Problem
from sentinel.config.load import load_config
from services.dispatcher import incident
from services.dispatcher.notification import AlertItem, Notification
from services.dispatcher.settings import IncidentSettings

CONFIG = """
alerting:
  receivers: [{{name: r, type: webhook, config: {{url: "http://127.0.0.1:9/"}}}}]
  templates: {templates}
  definitions: [{{alert_id: d, name: D, conditions: {{trigger: anomaly}}, {definition}, actions: [{{type: notification, config: {action}}}]}}]
integrations: {{incidentManager: {{endpoint: "http://127.0.0.1:9/", mapping: {{fields: {incident}}}}}}}
"""


def problems(
    folder: Path, templates: str = "{}", definition: str = "severity: warning", action: str = "{}", incident: str = "{}"
) -> list[Problem]:
    """What is wrong with a file that holds these."""
    file = folder / "mine.yaml"
    file.write_text(CONFIG.format(templates=templates, definition=definition, action=action, incident=incident))
    try:
        load_config(file, use_environment=False)
    except ConfigError as error:
        return error.problems
    return []


@pytest.mark.parametrize(
    ("written", "path", "value", "nearest"),
    [
        ({"definition": "labels: {team: '{{ .anomly.model }}'}"}, "alerting.definitions[0].labels.team", '"anomly"', "anomaly"),
        (
            {"definition": "labels: {team: '{{ .anomaly.modle }}'}"},
            "alerting.definitions[0].labels.team",
            '"anomaly.modle"',
            "anomaly.model",
        ),
        ({"definition": "annotations: {a: '{{ .Labels.team }}'}"}, "alerting.definitions[0].annotations.a", '"Labels"', "labels"),
        ({"templates": "{short: {title: '{{ Status }}'}}"}, "alerting.templates.short.title", '"Status"', "status"),
        (
            {"templates": "{short: {text: '{% for a in alerts %}{{ a.annotation.x }}{{ loop.index }}{% endfor %}'}}"},
            "alerting.templates.short.text",
            '"a.annotation"',
            "a.annotations",
        ),
        ({"action": "{title: '{{ alertid }}'}"}, "alerting.definitions[0].actions[0].config.title", '"alertid"', "alert_id"),
        (
            {"action": "{text: '{{ definition[\"nme\"] }}'}"},
            "alerting.definitions[0].actions[0].config.text",
            '"definition.nme"',
            "definition.name",
        ),
        ({"incident": "{title: '{{ serverity }}'}"}, "integrations.incidentManager.mapping.fields.title", '"serverity"', "severity"),
        (
            {"action": "{}}, {type: incident, config: {text: '{{ .anomaly.x }}{{ .CommonLabels.model }}{{ status }}'}"},
            "alerting.definitions[0].actions[1].config.text",
            '"status"',
            None,
        ),
        ({"incident": "{tags: [a, '{{ tenant }}']}"}, "integrations.incidentManager.mapping.fields.tags[1]", '"tenant"', "tenant_id"),
        ({"action": "{priority: urgent}"}, "alerting.definitions[0].actions[0].config.priority", '"urgent"', None),
        ({"action": "{priority: hihg}"}, "alerting.definitions[0].actions[0].config.priority", '"hihg"', "high"),
    ],
)
def test_a_name_that_is_not_there_is_refused(tmp_path: Path, written: dict[str, str], path: str, value: str, nearest: str | None) -> None:
    (problem,) = problems(tmp_path, **written)
    assert (problem.source, problem.path, problem.value, problem.nearest) == (str(tmp_path / "mine.yaml"), path, value, nearest)


def test_the_message_says_all_of_it(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, action="{priority: urgent}")
    assert str(problem).endswith('config.priority: expected one of low, medium, high, critical, found "urgent"')
    (problem,) = problems(tmp_path, templates="{short: {title: '{{ alert.labels.x }}'}}")
    text = str(problem)
    assert "mine.yaml: alerting.templates.short.title: expected a template with names that there are here (status, severity, " in text
    assert text.endswith('found "alert"; did you mean alerts?')


@pytest.mark.parametrize(
    "written",
    [
        {
            "definition": "labels: {team: '{{ .labels.team }}', m: '{{ anomaly.metrics.observed_value | round(1) }}{{ .anomaly.labels.zone }}'}"
        },
        {
            "templates": "{short: {title: '{{ .CommonLabels.anything }} {{ .anomaly.observed_value }}', text: '{{ alerts[0].labels.team }}'}}"
        },
        {
            "templates": "{short: {text: '{% for a in alerts %}{% for name in a.labels %}{{ name }}={{ a.labels[name] }}{% endfor %}{% endfor %}'}}"
        },
        {"action": "{title: '{{ .GroupLabels.x.y }}{{ \"a\" if firing > 1 else status }}', priority: low}"},
        {"incident": "{description: '{{ alert.runbook }}', source: '{{ commonLabels.model }}'}"},
    ],
)
def test_labels_and_annotations_have_names_of_their_own(tmp_path: Path, written: dict[str, str]) -> None:
    assert problems(tmp_path, **written) == []


def test_a_text_that_is_no_template_is_refused_at_its_place(tmp_path: Path) -> None:
    found = problems(tmp_path, action="{title: '{{ unclosed', text: '{% include \"/etc/passwd\" %}'}")
    assert [(problem.path.rpartition(".")[2], problem.expected.partition(" (")[0][:30]) for problem in found] == [
        ("title", "template: expected Jinja2 or {"),
        ("text", "template: expected Jinja2 or {"),
    ]
    assert "include is not allowed in a message template" in found[1].expected


def test_a_loop_hides_a_name_only_inside_it() -> None:
    names = {"alerts": {"labels": None}, "labels": None}
    assert unknown_names("{% for labels in alerts %}{{ labels.x }}{% endfor %}{{ labels.x }}", names) == [
        Unknown("labels.x", ("labels.labels",))
    ]
    assert unknown_names("{% for a in alerts %}{% else %}{{ a.labels }}{% endfor %}{{ a }}", names) == [
        Unknown("a", ("alerts", "labels")),
    ]


def test_messages_have_just_the_names_that_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(MessageTemplate, "render", lambda _, context: seen.append(context) or ("title", "text"))
    run(config(definition("d", "ops"), wait=0), [(0, anomaly())], until=0)
    (context,) = seen
    assert set(context) == set(MESSAGE_NAMES)
    assert set(context["alerts"][0]) == set(MESSAGE_NAMES["alerts"]) and set(context["definition"]) == set(MESSAGE_NAMES["definition"])
    assert not [*unknown_names(DEFAULT_TITLE, MESSAGE_NAMES), *unknown_names(DEFAULT_TEXT, MESSAGE_NAMES)]


def test_definitions_and_incidents_have_just_the_names_that_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(Template, "render", lambda _, context: seen.append(context) or "x")
    Policy(config(definition("d", labels={"a": "x"}))).definitions["d"].labels_for(anomaly())
    note = Notification(notification_id="n", receiver="i", status="firing", alerts=[AlertItem(status="firing", starts_at=str(T0))])
    settings = IncidentSettings(endpoint="http://127.0.0.1:9/", mapping={"fields": {"title": "x"}})
    incident.body(settings, note)
    of_definition, of_incident = seen
    assert set(of_definition) == set(DEFINITION_NAMES) and set(of_definition["anomaly"]) == set(DEFINITION_NAMES["anomaly"])
    assert set(of_incident) == {"anomaly", "alert", "commonLabels", "tenant_id", "severity"}
