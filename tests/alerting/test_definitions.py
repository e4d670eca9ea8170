"""Alert definitions in the configuration: their triggers become detectors, and what cannot be is refused at the door."""

from __future__ import annotations

from typing import Any

import pytest

from sentinel.config.errors import ConfigError
from sentinel.config.load import parse_config
from sentinel.config.runtime import DetectorConfig, RuntimeConfig

BASE = """
alerting:
  receivers: [{name: r, type: webhook, config: {url: "http://127.0.0.1:9/"}}]
  routing: {defaultReceiver: r}
  templates: {short: {title: "{{ .Status }}", text: "x"}}
  escalationPolicies: [{name: p, steps: [{after: 1m, receivers: [r]}]}]
  definitions:
    - {alert_id: d, name: Any words at all, actions: [{type: notification, config: {template: short, priority: high}}], %s}
"""


def runtime(rest: str) -> RuntimeConfig:
    return RuntimeConfig.from_snapshot(1, parse_config(BASE % rest, "test").config.to_snapshot())


def derived(rest: str) -> DetectorConfig:
    return next(detector for detector in runtime(rest).detectors if detector.id == "alert:d")


@pytest.mark.parametrize(
    ("conditions", "strategy", "params"),
    [
        (
            "trigger: metric_threshold, metric: latency_ms, aggregation: {threshold: 5000}",
            "threshold",
            {"metric": "latency_ms", "value": 5000, "condition": "greater_than_or_equal"},
        ),
        (
            "trigger: metric_threshold, metric: latency_ms, condition: less_than, aggregation: {function: avg, window: 5m, threshold: 10}",
            "aggregation",
            {"metric": "latency_ms", "function": "avg", "window_s": 300.0, "value": 10, "condition": "less_than"},
        ),
        (
            "trigger: metric_threshold, aggregation: {function: count, window: 1m, threshold: 3}",
            "aggregation",
            {"function": "count", "value": 3},
        ),
        ("trigger: event_pattern, pattern: '(?i)secret', field: response", "pattern", {"fields": ["response"]}),
        (
            "trigger: event_pattern, pattern: secret, aggregation: {window: 1m, threshold: 4}",
            "aggregation",
            {"function": "count", "value": 4, "window_s": 60.0},
        ),
    ],
)
def test_triggers_become_detectors(conditions: str, strategy: str, params: dict[str, Any]) -> None:
    detector = derived(f"severity: critical, conditions: {{{conditions}, filters: {{application_ids: ['chat-*']}}}}")
    assert (detector.strategy, detector.severity, detector.scope.applications) == (strategy, "critical", ("chat-*",))
    assert {name: detector.params[name] for name in params} == params
    (definition,) = runtime(f"conditions: {{{conditions}}}").definitions
    assert (definition.detector_ids, definition.aggregation_window_s) == (("alert:d",), None)


def test_an_anomaly_trigger_makes_no_detector_and_templates_are_found_by_name() -> None:
    found = runtime("escalation: p, throttling: {max_notifications: 3, window: 10m}, conditions: {trigger: anomaly}")
    assert not [detector for detector in found.detectors if detector.id.startswith("alert:")]
    (definition,) = found.definitions
    assert (definition.max_notifications, definition.notifications_window_s, definition.escalation) == (3, 600.0, "p")
    assert definition.actions[0].config["title"] == "{{ .Status }}" and definition.actions[0].config["priority"] == "high"


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        ("conditions: {trigger: metric_threshold, aggregation: {threshold: 1}}", "expected a metric beside trigger metric_threshold"),
        ("conditions: {trigger: metric_threshold, metric: latency_ms}", "expected aggregation.threshold"),
        ("conditions: {trigger: metric_threshold, metric: latencyms, aggregation: {threshold: 1}}", "expected a metric"),
        ("conditions: {trigger: event_pattern}", "expected a pattern beside trigger event_pattern"),
        ("conditions: {trigger: event_pattern, pattern: '(?=a)b'}", "RE2"),
        ("conditions: {trigger: event_pattern, pattern: a, aggregation: {window: 1m, function: avg}}", "patterns are counted"),
        ("labels: {x: '{% for i in range(9) %}{% endfor %}'}, conditions: {trigger: anomaly}", "labels.x: template: expected"),
        ("annotations: {x: '{{ open(1) }}'}, conditions: {trigger: anomaly}", "annotations.x: template: expected"),
        ("escalation: q, conditions: {trigger: anomaly}", "expected an escalation policy that is defined"),
        ("conditions: {trigger: anomaly}, schedule: {timezone: Mars/Base}", "expected an IANA time zone"),
    ],
)
def test_what_cannot_be_is_refused(rest: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        runtime(rest)
