"""Templates, the two records, the state codec, and a configuration that changes under a living alert."""

from __future__ import annotations

import time

import pytest
from alerting_simulation import RECEIVERS, T0, S, Simulation, alerts, anomaly, config, definition, notes, route, run, told
from hypothesis import given
from hypothesis import strategies as st

from sentinel.alerting.group import AlertGroup
from sentinel.alerting.matching import match
from sentinel.alerting.members import MAX_MEMBERS
from sentinel.alerting.records import AlertRecord, NotificationRecord, alert_id, notification_id
from sentinel.alerting.state import GroupState, decode, encode
from sentinel.alerting.templates import MAX_SOURCE, MAX_TITLE, MessageTemplate, Template
from sentinel.config.runtime import DefinitionAction, RuntimeConfig


def message(settings: RuntimeConfig, *records: object) -> NotificationRecord:
    outputs = run(settings, [(0, record) for record in records], until=0)  # type: ignore[misc]
    return next(output for output in outputs if isinstance(output, NotificationRecord))


def templated(title: str, text: str = "") -> RuntimeConfig:
    return config(definition("d", actions=(DefinitionAction("notification", {"receivers": ["ops"], "title": title, "text": text}),)))


def test_the_default_message_says_what_happened_where() -> None:
    settings = config(wait=0, external_url="https://sentinel.example/")
    note = message(settings, anomaly(description="p95 is 4.2 s, usually 1.1 s", model="gpt-4"))
    assert note.title == "[FIRING:1] WARNING Latency is high (chat)"
    for part in ("Tenant acme", "1 occurrence since 2026-03-02T12:00:00.000Z", "p95 is 4.2 s", "detector latency, model gpt-4"):
        assert part in note.text
    assert note.text.endswith(f"https://sentinel.example/alerts/{note.alert_id}")
    assert note.alerts[0].generatorURL == f"https://sentinel.example/alerts/{note.alert_id}"
    assert (note.alerts[0].endsAt, note.alerts[0].startsAt) == ("0001-01-01T00:00:00Z", "2026-03-02T12:00:00.000Z")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ .anomaly.title }} in {{.anomaly.application_id}}", "Latency is high in chat"),
        ("{{ .CommonLabels.detector_id }}/{{- .GroupLabels.application_id -}}/{{ .Status }}", "latency/chat/firing"),
        ("{% for a in alerts %}{{ a.labels.severity | upper }}{% endfor %}", "WARNING"),
        ("{{ .nothing.at.all }}{{ nor.this | default('x') }}", "x"),
        ("{{ 'many' if count > 1 else 'one' }} {{ definition.name }}", "one d"),
        ("two\nlines", "two lines"),
    ],
)
def test_templates_of_a_definition(source: str, expected: str) -> None:
    assert message(templated(source), anomaly()).title == expected


def test_values_are_not_templates() -> None:
    assert message(templated("{{ .anomaly.title }}"), anomaly(title="{{ 7 * 7 }} <b>")).title == "{{ 7 * 7 }} <b>"


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__ }}" + "{{ x() }}",
        "{% set x = 1 %}",
        "{{ 'a' * 1000000000 }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ '%1000000000d' % 1 }}",
        "{% for i in range(1000000000) %}{% endfor %}",
        "{% for a in alerts %}{% for b in alerts %}{% for c in alerts %}{% endfor %}{% endfor %}{% endfor %}",
        "{% macro m() %}{% endmacro %}",
        "{% include 'x' %}",
        "{{ alerts | map(attribute='x') | join }}",
        "{{ title | center(1000000000) }}",
        "{{ unclosed",
        "{{ " + "(" * 5_000 + "1" + ")" * 5_000 + " }}",
        "x" * (MAX_SOURCE + 1),
    ],
)
def test_what_could_run_long_grow_or_reach_out_is_refused(source: str) -> None:
    started = time.monotonic()
    with pytest.raises(ValueError, match="template: expected"):
        Template(source, 100)
    assert time.monotonic() - started < 1


def test_attributes_of_python_are_out_of_reach() -> None:
    assert MessageTemplate("{{ definition.__class__ }}{{ definition['__init__'] }}", "-").render({"definition": {}}) == ("", "-")


def test_output_is_bounded_and_a_failing_template_gives_way_to_the_default() -> None:
    assert len(message(templated("{{ .anomaly.description }}"), anomaly(description="x" * 100_000)).title) == MAX_TITLE
    note = message(templated("{{ count + 'x' }}"), anomaly())
    assert note.title.startswith("[FIRING:1] WARNING Latency is high (chat) (template: unsupported operand")


def test_ids_are_functions_of_the_data() -> None:
    note = message(config(), anomaly())
    assert note.alert_id == alert_id("acme", "default", '[["application_id","chat"],["detector_id","latency"]]', "2026-03-02T12:00:00.000Z")
    assert note.alert_id == "0c8e651c-0d9d-5970-a03f-60512121d759"
    assert note.notification_id == notification_id(note.alert_id, "ops", 1)


def test_records_survive_their_wire_form() -> None:
    outputs = run(config(), [(0, anomaly())], until=0)
    (record,), (note,) = alerts(outputs), notes(outputs)
    assert AlertRecord.from_json(record.to_json()) == record
    assert NotificationRecord.from_json(note.to_json()) == note


def test_the_message_speaks_only_of_what_is_routed_to_the_receiver() -> None:
    action = DefinitionAction("notification", {"title": "{{ .anomaly.severity }}: {{ .anomaly.title }}"})
    settings = config(definition(actions=(action,)), routes=(route("pager", severity="critical"), route("chat", wait=1)))
    outputs = run(settings, [(0, anomaly("a")), (0, anomaly("b", "critical", title="It is down"))], until=1)
    notes = {note.receiver: note for note in outputs if isinstance(note, NotificationRecord)}
    assert {name: (note.severity, len(note.alerts)) for name, note in notes.items()} == {"pager": ("critical", 1), "chat": ("warning", 1)}
    assert {name: note.title for name, note in notes.items()} == {"pager": "critical: It is down", "chat": "warning: Latency is high"}


def test_a_flood_of_label_sets_stays_bounded_and_loses_no_severity() -> None:
    script = [(0.0, anomaly(str(n), "critical" if n == 299 else "warning", labels={"pod": str(n)})) for n in range(300)]
    simulation = Simulation(config(wait=1), match(script[0][1], config())[0])
    outputs = simulation.run(script, until=1)
    (note,) = [output for output in outputs if isinstance(output, NotificationRecord)]
    assert len(note.alerts) == MAX_MEMBERS + 2
    assert (note.severity, alerts(outputs)[-1].count, len(alerts(outputs)[-1].anomaly_ids)) == ("critical", 300, 50)
    assert len(simulation.group.to_state()) < 40_000


def test_a_megabyte_in_annotations_and_labels_is_cut_and_no_message_grows_beyond_what_a_topic_takes() -> None:
    huge = "ä" * 1_000_000
    script = [(0.0, anomaly(str(n), title=huge, description=huge, labels={"pod": f"{n}-{huge}"})) for n in range(60)]
    settings = config(definition("d", "ops", annotations={"why": "{{ .anomaly.description }}"}), wait=1)
    simulation = Simulation(settings, match(script[0][1], settings)[0])
    outputs = simulation.run([*script, (3.0, anomaly("fine", "critical", title="As usual"))], until=70)
    (note, *_) = notes(outputs)
    assert len(note.alerts) > 50 and max(len(output.to_json()) for output in outputs) < 1_000_000
    first = note.alerts[0]
    assert (len(first.annotations["description"]), first.annotations["description"][-2:], len(first.annotations["why"])) == (
        2_000,
        "ä…",
        2_000,
    )
    assert max(len(value) for alert in note.alerts for value in alert.labels.values()) == 1_000
    assert len(simulation.group.to_state()) < 2_000_000
    assert any(alert.annotations.get("summary") == "As usual" for alert in notes(outputs)[-1].alerts)


@pytest.mark.parametrize("data", [b"\x07" + encode(GroupState())[1:], encode(GroupState())[:-3], b"\x01", b"\x01\xff"])
def test_a_foreign_or_damaged_state_is_named(data: bytes) -> None:
    with pytest.raises(ValueError, match="alert state: "):
        decode(data)


@given(st.binary(min_size=1, max_size=40))
def test_no_bytes_break_the_codec_in_another_way(data: bytes) -> None:
    try:
        decode(data)
    except ValueError as error:
        assert "alert state: " in str(error)


def changed(simulation: Simulation, settings: RuntimeConfig) -> Simulation:
    simulation.settings = settings
    simulation.group = AlertGroup.from_state(simulation.key, simulation.group.to_state(), settings)
    return simulation


def test_a_changed_configuration_tells_new_receivers_and_nobody_twice() -> None:
    simulation = Simulation(config(), match(anomaly(), config())[0])
    simulation.run([(0, anomaly())], until=10)
    changed(simulation, config(routes=(route("chat", wait=5, go_on=True), route("ops")), version=2))
    simulation.run([(20, anomaly(last=20, count=2))], until=400)
    assert told(simulation.outputs) == [
        (0, "ops", "firing", "warning"),
        (25, "chat", "firing", "warning"),
        (320, "ops", "resolved", "warning"),
        (325, "chat", "resolved", "warning"),
    ]
    assert alerts(simulation.outputs)[-1].config_version == 2


def test_a_removed_route_or_definition_still_resolves_what_was_told() -> None:
    for settings in (config(routes=(route("chat"),), version=2), config(definition("another"), version=2)):
        simulation = Simulation(config(repeat=60), match(anomaly(), config())[0])
        simulation.run([(0, anomaly())], until=10)
        changed(simulation, settings).run([], until=400)
        messages = [(receiver, status) for _, receiver, status, _ in told(simulation.outputs) if receiver == "ops"]
        assert messages == [("ops", "firing"), ("ops", "resolved")]


def test_a_removed_receiver_gets_nothing() -> None:
    simulation = Simulation(config(repeat=60), match(anomaly(), config())[0])
    simulation.run([(0, anomaly())], until=10)
    changed(simulation, config(receivers=RECEIVERS[1:], default_receiver="", version=2)).run([], until=400)
    assert told(simulation.outputs) == [(0, "ops", "firing", "warning")]
    assert alerts(simulation.outputs)[-1].status == "resolved"


def test_an_anomaly_whose_definition_is_not_known_yet_is_told_once_it_is() -> None:
    later = config(definition("new", "pager"), version=2)
    simulation = Simulation(config(), match(anomaly(), later)[0])
    simulation.run([(0, anomaly())], until=1)
    changed(simulation, later)
    simulation._keep(simulation.group.on_timer(T0 + 2 * S))
    assert told(simulation.outputs) == [(2, "pager", "firing", "warning")]
