"""A wrong configuration names file, path, value, what was expected and the nearest valid name."""

from __future__ import annotations

from pathlib import Path

import pytest

from sentinel.config.document import MAX_BYTES
from sentinel.config.errors import ConfigError, Problem
from sentinel.config.load import load_config, parse_config


def _refused(text: str) -> list[Problem]:
    with pytest.raises(ConfigError) as error:
        parse_config(text, "c.yaml")
    return error.value.problems


DETECTOR = "detection: {{detectors: {{items: [{{id: a, type: {0}, strategy: {1}, config: {2}}}]}}}}"


@pytest.mark.parametrize(
    ("text", "path", "nearest"),
    [
        ("alertin: {}", "alertin", "alerting"),
        ("detection: {worker: 3}", "detection.worker", "workers"),
        (DETECTOR.format("statistical", "zscor", "{metric: latency_ms}"), "detection.detectors.items[0].strategy", "zscore"),
        (DETECTOR.format("statistical", "zscore", "{metric: latncy_ms}"), "detection.detectors.items[0].config.metric", "latency_ms"),
        ("detectors: [{id: a, type: ml, confg: {}}]", "detectors[0].confg", "config"),
        ("detectors: [{id: a, type: rule, strategy: silence, config: {minmum: 3s}}]", "detectors[0].config.minmum", "minimum"),
        ("detectors: [{id: a, type: rule, strategy: threshold, config: {metric: cots, value: 1}}]", "detectors[0].config.metric", "cost"),
        ("alerting: {receivers: [{name: a, type: web-hook, config: {}}]}", "alerting.receivers[0].type", "webhook"),
        ("alerting: {receivers: [{name: a, type: webhook, config: {ulr: x}}]}", "alerting.receivers[0].config.ulr", "url"),
        (
            "alerting: {receivers: [{name: pager, type: webhook, config: {url: 'http://a/'}}], routing: [{receivers: [pagr]}]}",
            "alerting.routing[0].receivers[0]",
            "pager",
        ),
        (
            "alerts: [{alert_id: a, name: A, conditions: {trigger: anomaly}, "
            "actions: [{type: notification, config: {receivers: [oncall-mail]}}]}]",
            "alerts[0].actions[0].config.receivers[0]",
            "oncall-email",
        ),
        ("tenants: {acme: {detectors: {disabled: [latency-zscor]}}}", "tenants.acme.detectors.disabled[0]", "latency-zscore"),
        ("tenants: {acme: {detectors: {item: []}}}", "tenants.acme.detectors.item", "items"),
        ("storage: {events: {type: opensaerch}}", "storage.events.type", "opensearch"),
    ],
)
def test_path_and_nearest_name(text: str, path: str, nearest: str) -> None:
    problems = _refused(text)
    assert (path, nearest) in [(problem.path, problem.nearest) for problem in problems], problems
    assert all(problem.source == "c.yaml" and problem.expected.startswith("expected") for problem in problems)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("detection: {correlation: {window: 5x}}", 'expected a duration such as 30s, 5m, 1h30m or 7d, found "5x"'),
        ("detection: {correlation: {window: 0s}}", "expected a duration longer than zero"),
        ("detection: {correlation: {maxRelatedEvents: many}}", 'expected a whole number, found "many"'),
        ("alerting: 3", "alerting: expected"),
        (DETECTOR.format("rule", "zscore", "{metric: latency_ms}"), "expected a strategy of type rule; zscore belongs to type statistical"),
        (DETECTOR.format("statistical", "zscore", "{metric: prompt_length}"), "a metric that windows have"),
        (DETECTOR.format("rule", "threshold", "{metric: latency_ms, value: 1, consecutive: 3}"), "expected a window beside consecutive"),
        (DETECTOR.format("rule", "threshold", "{metric: latency_ms}"), "config.value: expected a value, found nothing"),
        (
            DETECTOR.format("rule", "pattern", "{patterns: ['ok', '(abc']}"),
            "patterns[1].pattern: expected a regular expression that RE2 can run",
        ),
        (
            DETECTOR.format("rule", "pattern", "{patterns: [{id: x, pattern: a}, {id: x, pattern: b}]}"),
            "expected different ids, found twice: x",
        ),
        ("detectors: [{id: a, type: ml}, {id: a, type: ml}]", "expected different detector ids, found twice: a"),
        ("alerting: {routing: [{receivers: [oncall-email], matchers: ['severity ~ x']}]}", "expected a matcher such as"),
        ("alerting: {suppression: {maintenanceWindows: [{name: w, schedule: nightly, duration: 1h}]}}", "expected a cron expression"),
        (
            "alerting: {suppression: {maintenanceWindows: [{name: w, schedule: '0 2 * * 0', duration: 1h, timezone: Mars}]}}",
            "IANA time zone",
        ),
        ("version: v2", "expected one of v1"),
        ("a: 1\na: 2", "line 2, column 1: expected each key once"),
        ("[1]", "expected a mapping at the top, found list"),
        ("a: [", "expected YAML"),
        ("a: &x [*x]", "expected an anchor x that is complete before its alias"),
        ("x: " + "[" * 60 + "]" * 60, "expected at most 50 levels"),
        ("x: " + "a" * MAX_BYTES, "expected at most 1,000,000 bytes"),
        ("a: !!python/object/apply:os.system [ls]", "expected YAML"),
    ],
)
def test_message(text: str, message: str) -> None:
    assert message in "\n".join(map(str, _refused(text)))


def test_alias_bomb_is_refused_at_once() -> None:
    lines = ["a0: &a0 [" + ", ".join(["x"] * 10) + "]"]
    lines += [f"a{n}: &a{n} [" + ", ".join([f"*a{n - 1}"] * 10) + "]" for n in range(1, 9)]
    assert "with aliases expanded" in str(_refused("\n".join(lines))[0])


def test_too_many_detectors() -> None:
    items = "\n".join(f"  - {{id: d{n}, type: rule, strategy: silence}}" for n in range(1001))
    assert "detectors" in _refused("detectors:\n" + items)[0].path


def test_every_problem_is_reported_at_once() -> None:
    assert len(_refused("detection: {worker: 1, correlation: {window: x, enabled: 7}}\nalertin: 1")) == 4


@pytest.mark.parametrize(
    "settings",
    [
        "type: pagerduty, config: {serviceKey: s3cr3t-value}",
        "type: slack, config: {webhookUrl: 'https://hooks.example.com/s3cr3t-value'}",
        "type: webhook, config: {url: 'http://user:s3cr3t-value@host/'}",
        "type: webhook, config: {url: 'http://host/', headers: {Authorization: s3cr3t-value}}",
        "type: email, config: {to: a@b, smarthost: 'h:25', authPassword: s3cr3t-value}",
    ],
)
def test_secrets_in_plain_text_are_refused_and_not_repeated(settings: str) -> None:
    text = "\n".join(map(str, _refused(f"alerting: {{receivers: [{{name: a, {settings}}}]}}")))
    assert "s3cr3t" not in text


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    broken = tmp_path / "latin.yaml"
    broken.write_bytes(b"metadata: {name: \xff}")
    for path, message in ((tmp_path / "none.yaml", "No such file"), (tmp_path, "directory"), (broken, "expected UTF-8")):
        with pytest.raises(ConfigError, match=message):
            load_config(path)
