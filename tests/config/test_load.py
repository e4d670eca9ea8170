"""Files, built-in defaults, other files, the environment, and the snapshot that is published."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sentinel.config.errors import ConfigError
from sentinel.config.load import default_config, load_config, parse_config
from sentinel.config.model import from_snapshot


def test_empty_text_is_the_built_in_configuration() -> None:
    assert parse_config("", "c.yaml").config.detection == default_config().config.detection
    assert parse_config("", "c.yaml").config.alerting.definitions == default_config().config.alerting.definitions


def test_own_receivers_come_without_the_built_in_routes() -> None:
    config = parse_config("alerting: {receivers: [{name: mine, type: webhook, config: {url: 'http://a/'}}]}", "c.yaml").config
    assert [receiver.name for receiver in config.alerting.receivers] == ["mine"]
    assert config.alerting.routing.routes == []


def test_snapshot_is_json_and_comes_back_equal() -> None:
    config = default_config().config
    snapshot = json.loads(json.dumps(config.to_snapshot()))
    assert from_snapshot(snapshot) == config
    assert snapshot["detection"]["correlation"]["window"] == "10m"


def test_snapshot_keeps_references_and_never_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGER_KEY", "s3cr3t-value")
    text = "alerting: {receivers: [{name: p, type: pagerduty, config: {serviceKey: '${PAGER_KEY}'}}]}"
    snapshot = json.dumps(parse_config(text, "c.yaml").config.to_snapshot())
    assert "${PAGER_KEY}" in snapshot and "s3cr3t" not in snapshot


def test_environment_overrides_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("detection: {correlation: {maxRelatedEvents: 5, window: 1m}}")
    monkeypatch.setenv("SENTINEL__DETECTION__CORRELATION__MAX_RELATED_EVENTS", "7")
    monkeypatch.setenv("SENTINEL__ALERTING__DEDUPLICATION__FIELDS", '["severity"]')
    monkeypatch.setenv("SENTINEL_HOME", "/elsewhere")
    config = load_config(file).config
    assert config.detection.correlation.max_related_events == 7
    assert config.detection.correlation.window == 60
    assert config.alerting.deduplication.fields == ["severity"]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("SENTINEL__DETECTION__CORELATION__WINDOW", "detection.corelation"),
        ("SENTINEL__DETECTON__WORKERS", "detecton"),
        ("SENTINEL__ALERTING__GROUPING__GROUPWAIT", "alerting.grouping.groupWait"),
    ],
)
def test_wrong_environment_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, path: str) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("")
    monkeypatch.setenv(name, "5x")
    with pytest.raises(ConfigError) as error:
        load_config(file)
    assert [(problem.source, problem.path) for problem in error.value.problems] == [("environment", path)]


def test_config_files_are_read_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "detectors.yaml").write_text("detectors: [{id: mine, type: rule, strategy: silence}]")
    (tmp_path / "alerts.yaml").write_text(
        "alerts: [{alert_id: a, name: A, conditions: {trigger: anomaly}, actions: [{type: notification}]}]"
    )
    (tmp_path / "c.yaml").write_text("mode: standalone\ndetectors: {configFile: detectors.yaml}\nalerts: {configFile: alerts.yaml}")
    config = load_config(tmp_path / "c.yaml").config
    assert [detector.id for detector in config.detection.detectors.items] == ["mine"]
    assert [definition.alert_id for definition in config.alerting.definitions] == ["a"]


def test_mistakes_in_a_config_file_name_that_file(tmp_path: Path) -> None:
    (tmp_path / "detectors.yaml").write_text("detectors: [{id: mine, type: rule, strategy: silnce}]")
    (tmp_path / "c.yaml").write_text("detectors: {configFile: detectors.yaml}")
    with pytest.raises(ConfigError) as error:
        load_config(tmp_path / "c.yaml")
    problem = error.value.problems[0]
    assert (Path(problem.source).name, problem.path, problem.nearest) == ("detectors.yaml", "detectors[0].strategy", "silence")


def test_missing_config_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("detectors: {configFile: none.yaml}")
    with pytest.raises(ConfigError, match=r"detectors\.configFile: expected a readable configuration file"):
        load_config(tmp_path / "c.yaml")


def test_times_of_day_stay_text() -> None:
    text = """alerts: [{alert_id: a, name: A, conditions: {trigger: anomaly}, actions: [{type: notification}],
      schedule: {active_hours: {start: 09:00, end: 22:30}}}]"""
    schedule = parse_config(text, "c.yaml").config.alerting.definitions[0].schedule
    assert schedule and schedule.active_hours and (schedule.active_hours.start, schedule.active_hours.end) == ("09:00", "22:30")
