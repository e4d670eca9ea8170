"""Which definitions want an anomaly, its labels and key, and where the routes lead."""

from __future__ import annotations

import pytest
from alerting_simulation import alerts, anomaly, config, definition, notes, route, run, told
from hypothesis import given
from hypothesis import strategies as st

from sentinel.alerting.concern import Concerned, passes
from sentinel.alerting.labels import compile_matcher, fingerprint
from sentinel.alerting.matching import AlertKey, match
from sentinel.alerting.policy import Policy
from sentinel.alerting.routing import build_tree
from sentinel.config.runtime import DefinitionAction, DetectorAction, DetectorConfig, Grouping, Matcher, Route


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, True),
        ({"severities": ("critical",)}, False),
        ({"severities": ("info", "warning")}, True),
        ({"detector_ids": ("lat*",)}, True),
        ({"detector_ids": ("cost", "error-*")}, False),
        ({"application_ids": ("chat-*",)}, False),
        ({"application_ids": ("c?at",)}, True),
        ({"score_threshold": 0.9}, True),
        ({"score_threshold": 0.91}, False),
        ({"trigger": "metric_threshold", "detector_ids": ("alert:d",)}, False),
    ],
)
def test_filters(filters: dict[str, object], expected: bool) -> None:
    assert bool(match(anomaly(), config(definition(**filters)))) is expected  # type: ignore[arg-type]


_IDS = st.lists(st.sampled_from(["chat", "chat-*", "c*", "*", "c?at", "[ab]x", "ax", "", "chat*"]), max_size=2).map(tuple)


@given(
    st.lists(st.tuples(_IDS, _IDS), max_size=8),
    st.sampled_from(["chat", "chat-1", "ax", "", "zz", "alert:d"]),
    st.sampled_from(["chat", "ax", ""]),
)
def test_definitions_are_found_as_if_every_one_were_asked(
    filters: list[tuple[tuple[str, ...], tuple[str, ...]]], detector: str, app: str
) -> None:
    definitions = [definition(str(n), detector_ids=found[0], application_ids=found[1]) for n, found in enumerate(filters)]
    index = Concerned((one, one.id) for one in definitions)
    expected = tuple(one.id for one in definitions if passes(one, detector, app, "warning"))
    assert index.by(detector, app, "warning") == expected == index.by(detector, app, "warning")


def test_the_built_in_definition_holds_only_without_definitions() -> None:
    assert [key.definition_id for key in match(anomaly(), config())] == ["default"]
    assert match(anomaly(severity="info"), config()) == []
    assert match(anomaly(), config(definition(severities=("critical",)))) == []


def test_every_definition_that_matches_makes_a_key_of_its_own_grouping() -> None:
    settings = config(definition("one", grouping=("application",)), definition("two"), definition("three", grouping=()))
    assert [key.to_text() for key in match(anomaly(), settings)] == [
        '["acme","one",[["application_id","chat"]]]',
        '["acme","two",[["application_id","chat"],["detector_id","latency"]]]',
        '["acme","three",[]]',
    ]


def test_tenants_never_share_a_key() -> None:
    settings = config(definition(grouping=()))
    assert match(anomaly(), settings) != match(anomaly(tenant_id="other"), settings)


def test_without_grouping_nothing_is_put_together() -> None:
    settings = config(grouping=Grouping(enabled=False))
    assert match(anomaly(), settings) != match(anomaly(model="gpt-4"), settings)


def test_user_is_a_label_only_where_grouping_asks_for_it() -> None:
    by_user = config(definition(grouping=("user_id",)))
    assert match(anomaly(user_id="u1"), by_user)[0].group == (("user_id", "u1"),)
    assert [r.labels.get("user_id") for r in alerts(run(by_user, [(0, anomaly(user_id="u1"))], until=0))] == ["u1"]
    assert [r.labels.get("user_id") for r in alerts(run(config(), [(0, anomaly(user_id="u1"))], until=0))] == [None]


@pytest.mark.parametrize("text", ["", "[]", "{}", '["a","b"]', '["a","b",[["x"]]]'])
def test_a_damaged_key_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="alert key: expected"):
        AlertKey.from_text(text)


def test_labels_come_from_fields_anomaly_detector_and_definition() -> None:
    detector = DetectorConfig("latency", "statistical", "zscore", "pane", "latency_ms", {}, actions=(DetectorAction(alert="SlowModel"),))
    action = DefinitionAction("notification", {"receivers": ["chat"], "labels": {"team": "ml", "environment": "dev"}})
    settings = config(definition(actions=(action,)), detectors=(detector,))
    (record,) = alerts(run(settings, [(0, anomaly(labels={"environment": "prod", "severity": "none"}, model="gpt-4"))], until=0))
    assert record.labels == {
        "alertname": "SlowModel",
        "application_id": "chat",
        "detector_id": "latency",
        "environment": "prod",
        "model": "gpt-4",
        "severity": "warning",
        "team": "ml",
        "tenant_id": "acme",
    }


def test_fingerprint_is_of_the_set_and_tells_names_from_values() -> None:
    assert fingerprint({"a": "1", "b": "2"}) == fingerprint({"b": "2", "a": "1"}) == "02bca1d8e146479d"
    assert fingerprint({"a": "1b", "c": ""}) != fingerprint({"a": "1", "bc": ""})


@pytest.mark.parametrize(
    ("op", "value", "holds", "holds_without"),
    [
        ("=", "prod", True, False),
        ("!=", "prod", False, True),
        ("=~", "prod|dev", True, False),
        ("=~", "pro", False, False),
        ("=~", ".*", True, True),
        ("!~", "d.*", True, True),
        ("=", "", False, True),
    ],
)
def test_matchers_are_anchored_and_a_missing_label_is_empty(op: str, value: str, holds: bool, holds_without: bool) -> None:
    predicate = compile_matcher(Matcher("environment", op, value))  # type: ignore[arg-type]
    assert (predicate({"environment": "prod"}), predicate({})) == (holds, holds_without)


def test_an_expression_that_is_not_re2_is_named() -> None:
    with pytest.raises(ValueError, match="matcher on label 'team': expected an RE2 expression"):
        Policy(config(routes=(Route((Matcher("team", "=~", "(?=a)b"),), ("ops",), (), 0, 0, 0),)))


def test_first_match_wins_unless_it_continues() -> None:
    routes = (route("pager", severity="critical", go_on=True), route("chat", application="chat"), route("ops"))
    everything = config(routes=routes)
    assert [r for _, r, *_ in told(run(everything, [(0, anomaly("a", "critical"))], until=0))] == ["pager", "chat"]
    assert [r for _, r, *_ in told(run(everything, [(0, anomaly("a"))], until=0))] == ["chat"]
    assert [r for _, r, *_ in told(run(everything, [(0, anomaly("a", application_id="x"))], until=0))] == ["ops"]


def test_what_no_route_wants_goes_to_the_default_receiver_or_nowhere() -> None:
    routes = (route("pager", severity="critical"),)
    assert [r for _, r, *_ in told(run(config(routes=routes), [(0, anomaly())], until=0))] == ["ops"]
    nowhere = run(config(routes=routes, default_receiver=""), [(0, anomaly())], until=0)
    assert ([record.receivers for record in alerts(nowhere)], told(nowhere)) == ([[]], [])


def test_a_receiver_that_is_not_configured_is_passed_over() -> None:
    outputs = run(config(default_receiver="gone"), [(0, anomaly())], until=0)
    assert ([record.receivers for record in alerts(outputs)], told(outputs)) == ([[]], [])


def test_a_definition_that_names_receivers_does_not_ask_the_routes() -> None:
    settings = config(definition("d", "chat", "pager"), routes=(route("ops"),))
    assert [r for _, r, *_ in told(run(settings, [(0, anomaly())], until=0))] == ["chat", "pager"]


def test_routes_that_group_differently_make_a_key_and_a_message_each() -> None:
    by_model = Route((), ("chat",), ("model",), 0, 60, 0)
    settings = config(routes=(route("pager", go_on=True), by_model))
    keys = match(anomaly(model="gpt-4"), settings)
    assert [key.group_names for key in keys] == [("application_id", "detector_id"), ("model",)]
    assert [r for _, r, *_ in told(run(settings, [(0, anomaly(model="gpt-4"))], until=0))] == ["pager"]


def test_nested_routes_deliver_from_the_deepest_match() -> None:
    def node(name: str, *children: Route, go_on: bool = False, **equal: str) -> Route:
        matchers = tuple(Matcher(label, "=", value) for label, value in equal.items())
        return Route(matchers, (name,), (), 0, 0, 0, go_on, children)

    routes = (node("team", node("team-critical", severity="critical"), team="ml", go_on=True), node("all-critical", severity="critical"))
    tree = build_tree(config(routes=routes, default_receiver="root"))
    where = {
        "root": {},
        "team": {"team": "ml"},
        "all-critical": {"severity": "critical"},
        "team-critical,all-critical": {"team": "ml", "severity": "critical"},
    }
    for names, labels in where.items():
        assert ",".join(name for found in tree.resolve(labels) for name in found.receivers) == names


def test_short_and_long_names_of_a_label_are_one() -> None:
    holds = compile_matcher(Matcher("application", "=", "chat"))
    assert (
        holds({"application_id": "chat"}) and holds({"application": "chat"}) and not holds({"application": "x", "application_id": "chat"})
    )
    (tree,) = [build_tree(config(grouping=Grouping(group_by=("application", "x"))))]
    assert tree.group_labels({"application_id": "chat"}) == {"application_id": "chat"}
    assert tree.group_labels({"application": "chat", "x": "1"}) == {"application": "chat", "x": "1"}


def test_what_was_found_for_one_definition_concerns_no_other() -> None:
    own = definition("slow", trigger="metric_threshold", detector_ids=("alert:slow",))
    keys = match(anomaly(detector_id="alert:slow"), config(own, definition("everything")))
    assert [key.definition_id for key in keys] == ["slow"]


def test_severity_labels_and_annotations_of_a_definition() -> None:
    told_so = definition(
        severity="critical",
        labels={"service": "{{ .anomaly.application_id }}-{{ .anomaly.model }}", "empty": "{{ .anomaly.metrics.none }}"},
        annotations={"runbook": "https://wiki/{{ anomaly.detector_id }}", "bad": "{{ anomaly.count + 'x' }}"},
    )
    outputs = run(config(told_so), [(0, anomaly(model="gpt-4"))], until=0)
    (alert,) = notes(outputs)[0].alerts
    assert (alert.labels["service"], alert.labels["severity"], "empty" in alert.labels) == ("chat-gpt-4", "critical", False)
    assert alert.annotations["runbook"] == "https://wiki/latency"
    assert "unsupported operand" in alert.annotations["bad"]
    assert [record.severity for record in alerts(outputs)] == ["critical"]
