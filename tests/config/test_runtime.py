"""The workers' view of a snapshot."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from sentinel.config.load import default_config, parse_config
from sentinel.config.matchers import parse_matcher
from sentinel.config.runnable import RUNNABLE
from sentinel.config.runtime import Matcher, RuntimeConfig
from sentinel.config.strategies import STRATEGIES
from sentinel.config.units import format_duration, parse_duration, parse_size


def _runtime(text: str) -> RuntimeConfig:
    return RuntimeConfig.from_snapshot(1, parse_config(text, "c.yaml").config.to_snapshot())


def test_built_in_configuration() -> None:
    snapshot = default_config().config.to_snapshot()
    runtime = RuntimeConfig.from_record(json.dumps({"version": 7, "config": snapshot}).encode())
    assert runtime.version == 7
    assert {(detector.strategy, detector.level) for detector in runtime.detectors} == {
        ("zscore", "pane"), ("silence", "pane"), ("peer", "user"), ("threshold", "event"), ("pattern", "event"),
    }  # fmt: skip
    assert {severity for definition in runtime.definitions for severity in definition.severities} == {"critical", "warning"}
    assert [route.receivers for route in runtime.routes] == [("default-notifications", "oncall-email"), ("default-notifications",)]
    assert runtime.correlation.window_s == 600 and runtime.dedup.window_s == 300 and runtime.grouping.group_wait_s == 0


def test_params_are_snake_case_with_seconds_and_without_what_was_left_out() -> None:
    text = "detectors: [{id: a, type: statistical, strategy: zscore, config: {metric: requests_per_second, adaptAfter: 5m, minRatio: 2}}]"
    detector = _runtime(text).detectors[0]
    assert detector.metric == "calls_per_second"
    assert detector.params == {"metric": "calls_per_second", "adapt_after_s": 300.0, "min_ratio": 2.0}


def test_shortest_silence_is_a_duration() -> None:
    assert _runtime("detectors: [{id: a, type: rule, strategy: silence, config: {minimum: 1m}}]").detectors[0].params["minimum_s"] == 60


@pytest.mark.parametrize(
    ("config", "level"),
    [
        ("{metric: latency_ms, value: 1}", "event"),
        ("{metric: cost_per_request, value: 1, window: 1m, consecutive: 3}", "pane"),
        ("{metric: error_rate, value: 0.5}", "pane"),
        ("{metric: top_user_events, value: 100}", "user"),
    ],
)
def test_level_of_a_threshold(config: str, level: str) -> None:
    assert _runtime(f"detectors: [{{id: a, type: rule, strategy: threshold, config: {config}}}]").detectors[0].level == level


def test_disabled_detectors_are_left_out() -> None:
    text = """detectors:
      - {id: a, type: rule, strategy: silence, enabled: false}
      - {id: b, type: ml, strategy: lstm, enabled: false}
      - {id: c, type: rule, strategy: silence, actions: [{alert: x}, {alert: y, severity: critical}]}"""
    assert [(detector.id, detector.severity) for detector in _runtime(text).detectors] == [("c", "critical")]


def test_scope_and_tenants() -> None:
    runtime = _runtime("""
detectors:
  - {id: a, type: rule, strategy: silence, scope: {applications: [chat-*], models: ["gpt-?"]}}
tenants:
  acme: {detectors: {disabled: [a], items: [{id: own, type: rule, strategy: silence}]}}""")
    common, own = runtime.detectors
    assert common.scope.matches("other", "chat-1", "gpt-4") and common.scope.matches("other", "chat-1")
    assert not common.scope.matches("acme", "chat-1", "gpt-4")
    assert not common.scope.matches("other", "search", "gpt-4") and not common.scope.matches("other", "chat-1", "claude")
    assert own.scope.matches("acme", "anything", "any") and not own.scope.matches("other", "anything", "any")


def test_routes_inherit_timings() -> None:
    route = _runtime("""
alerting:
  grouping: {groupBy: [application, detector_id], groupWait: 5s}
  routing:
    - {match: {team: ml}, matchers: ['severity=~"critical|warning"'], receivers: [oncall-email], repeat_interval: 1h, continue: true}
""").routes[0]
    assert route.matchers == (Matcher("team", "=", "ml"), Matcher("severity", "=~", "critical|warning"))
    assert (route.group_by, route.group_wait_s, route.repeat_interval_s) == (("application", "detector_id"), 5.0, 3600.0)
    assert route.continue_matching


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('a="b"', ("a", "=", "b")),
        ("a != b", ("a", "!=", "b")),
        (r'a=~"x\"y"', ("a", "=~", 'x"y')),
        ('a=""', ("a", "=", "")),
        ("a=", ("a", "=", "")),
    ],
)
def test_matchers(text: str, expected: tuple[str, str, str]) -> None:
    assert parse_matcher(text) == expected


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("30s", 30), ("1h30m", 5400), ("7d", 604800), ("1y", 31536000), ("0", 0), (5, 5)]
)
def test_durations(text: Any, seconds: float) -> None:
    assert parse_duration(text) == seconds
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize("text", ["5x", "", "5 m", "-5m", "m", "1e3s", -1, float("nan"), float("inf")])
def test_no_durations(text: Any) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        parse_duration(text)


def test_sizes() -> None:
    assert [parse_size(text) for text in ("10GB", "4MiB", "512 KB", "7", 7)] == [10**10, 4 * 2**20, 512_000, 7, 7]


def test_runnable_strategies_exist() -> None:
    assert STRATEGIES.keys() >= RUNNABLE


@pytest.mark.parametrize("record", [b"{}", b"[]", b"\xff", b'{"version": 1, "config": {}}'])
def test_foreign_records_are_refused(record: bytes) -> None:
    with pytest.raises((KeyError, ValueError, TypeError)):
        RuntimeConfig.from_record(record)


def test_workers_do_not_load_pydantic() -> None:
    code = "import sys; from sentinel.config.runtime import RuntimeConfig as R;"
    code += " R.from_record(sys.stdin.read()); print('pydantic' in sys.modules)"
    record = json.dumps({"version": 1, "config": default_config().config.to_snapshot()})
    done = subprocess.run([sys.executable, "-c", code], input=record, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
