"""`sentinel alerts`: routes test, simulate, import, as a user runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from scenarios import config, post

from sentinel.alerting.importer.matchers import matcher_text, read_matchers
from sentinel.config.matchers import parse_matcher
from services.cli.main import run

ALERTMANAGER = """
global: {resolve_timeout: 2m, http_config: {proxy_url: "http://p"},
  smtp_smarthost: "mail:25", smtp_from: a@b.c, slack_api_url: "https://hooks.slack.com/services/SECRET"}
route:
  receiver: Team X
  group_by: ["..."]
  group_wait: 10s
  routes:
    - {match: {severity: critical}, match_re: {team: "ml|web"}, receiver: pager, continue: true, mute_time_intervals: [nights]}
    - {matchers: ['{env="prod", region!~"eu-.*"}'], receiver: none, labels: {a: b}}
receivers:
  - name: Team X
    email_configs: [{to: "x@y.z, u@v.w", html: "<b>"}]
    slack_configs: [{channel: "#x", send_resolved: true}]
  - name: pager
    pagerduty_configs: [{routing_key: 0123456789abcdef0123456789abcdef}]
  - name: none
  - name: genie
    opsgenie_configs: [{api_key: OPSECRET}]
  - name: rooms
    msteamsv2_configs: [{webhook_url: "https://t.example.org/TEAMSECRET"}]
    telegram_configs: [{bot_token: TGSECRET, chat_id: 12}]
    wechat_configs: [{corp_id: c}]
  - name: hook
    webhook_configs: [{url: "https://u:s3cr3t-one@h/", http_config: {basic_auth: {username: u, password: s3cr3t-two}, proxy_url: "http://p"}}]
inhibit_rules:
  - {source_match: {severity: critical}, target_match_re: {severity: "warning|info"}, equal: [cluster]}
mute_time_intervals:
  - name: nights
    time_intervals: [{times: [{start_time: "22:00", end_time: "24:00"}], weekdays: ["monday:friday"], days_of_month: ["1:5", "-3:-1"],
                      months: ["may:august", "12"], years: ["2025:2027"], location: Europe/Berlin}]
templates: [x.tmpl]
tracing: {}
"""


@pytest.fixture
def alertmanager(tmp_path: Path) -> Path:
    file = tmp_path / "alertmanager.yml"
    file.write_text(ALERTMANAGER)
    return file


def test_routes_test_prints_receivers_in_order(alertmanager: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["alerts", "routes", "test", "--config", str(alertmanager), "severity=critical", "team=ml", "env=prod"]) == 0
    assert capsys.readouterr().out == "pager,none\n"
    lines = tmp_path / "labels.jsonl"
    lines.write_text('{"team": "ml"}\n{"labels": {"severity": "critical", "team": "web"}}\n{"env": "prod", "region": "eu-1"}\n')
    assert run(["alerts", "routes", "test", "--config", str(alertmanager), "--input", str(lines)]) == 0
    assert capsys.readouterr().out == "Team X\npager\nTeam X\n"


def test_import_makes_a_configuration_that_is_valid_and_routes_alike(
    alertmanager: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "sentinel-config.yaml"
    assert run(["alerts", "import", str(alertmanager), "--output", str(output)]) == 0
    said, written = capsys.readouterr().err, output.read_text()
    for secret in ("SECRET", "s3cr3t", "0123456789abcdef"):
        assert secret not in written and secret not in said
    converted_otherwise = ("wechat_configs: this kind", "ROOMS_URL as apprise takes it: tgram://BOT_TOKEN/CHAT_ID", "global.http_config")
    for part in (*converted_otherwise, "html", "proxy_url", "templates", "tracing", "route.routes[1].labels"):
        assert part in said, part
    assert run(["config", "validate", str(output)]) == 0
    alerting = yaml.safe_load(written)["alerting"]
    assert alerting["grouping"] == {"groupBy": ["..."], "groupWait": "10s", "groupInterval": "5m", "repeatInterval": "4h"}
    assert {(item["name"], item["type"], item["sendResolved"]) for item in alerting["receivers"]} == {
        ("Team-X", "email", False),
        ("Team-X-2", "slack", True),
        ("pager", "pagerduty", True),
        ("hook", "webhook", True),
        ("genie", "apprise", True),
        ("rooms-2", "teams", True),
        ("rooms-1", "apprise", True),
    }
    assert {item["name"]: item["receivers"] for item in alerting["receiverGroups"]} == {
        "Team X": ["Team-X", "Team-X-2"],
        "none": [],
        "rooms": ["rooms-1", "rooms-2"],
    }
    capsys.readouterr()
    assert run(["alerts", "routes", "test", "--config", str(output), "severity=critical", "team=ml", "env=prod"]) == 0
    assert capsys.readouterr().out == "pager,none\n"


def test_simulate_writes_one_line_for_each_attempt(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.yml").write_text(config())
    timeline = {"start": "2026-03-02T12:00:00Z", "until": 5, "events": [post(0, {"labels": {"alertname": "A", "g": 1}})]}
    (tmp_path / "t.json").write_text(json.dumps(timeline))
    arguments = ["alerts", "simulate", "--config", str(tmp_path / "c.yml"), "--timeline", str(tmp_path / "t.json")]
    assert run([*arguments, "--output", str(tmp_path / "n.jsonl"), "--compat", "alertmanager"]) == 0
    labels = {"alertname": "A", "g": "1"}
    assert [json.loads(line) for line in (tmp_path / "n.jsonl").read_text().splitlines()] == [
        {
            "at": 1,
            "receiver": "r",
            "status": "firing",
            "groupLabels": {"g": "1"},
            "alerts": [{"labels": labels, "status": "firing"}],
            "attempt": 1,
            "delivered": True,
        }
    ]
    assert run(arguments) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0])["at"] == 1


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            ("receiver: pager", "receiver: pagr"),
            'route.routes[0].receiver: expected a receiver that is defined, found "pagr"; did you mean pager?',
        ),
        (("[nights]", "[night]"), "did you mean nights?"),
        (("receiver: Team X\n", "match: {a: b}\n  receiver: Team X\n"), "route.match: expected a root route without match"),
        (("receiver: Team X\n", "\n"), "route.receiver: expected a receiver on the root route"),
        (("ml|web", "ml|(web"), "expected a regular expression that RE2 can run"),
        (('["..."]', '["...", a]'), "expected '...' alone"),
        (("Europe/Berlin", "Europe/Berln"), "expected an IANA time zone"),
        (('"24:00"', '"21:00"'), "expected startTime before endTime"),
        (('env="prod", region', 'env="prod" region'), "expected a comma between matchers"),
        (("monday:friday", "friday:monday"), "expected a range that runs forward"),
    ],
)
def test_what_alertmanager_refuses_is_refused(
    alertmanager: Path, change: tuple[str, str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert change[0] in ALERTMANAGER
    alertmanager.write_text(ALERTMANAGER.replace(*change, 1))
    assert run(["alerts", "routes", "test", "--config", str(alertmanager), "a=b"]) == 1
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize("text", ['a="b"', 'a=~"x|y",b!="c"', '{a="b", c!~"d,e"}', 'a="say \\"hi\\""', '"strange name"="b"', "a=b", "a="])
def test_matchers_come_through_the_import_unchanged(text: str) -> None:
    for matcher in read_matchers(text):
        assert parse_matcher(matcher_text(*matcher)) == matcher


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        (
            "escalationPolicies: [{name: p, steps: [{after: 1m, receivers: [r]}], then: q}, {name: q, steps: [{after: 1m, receivers: [r]}], then: p}]",
            "found a circle (p -> q -> p)",
        ),
        ("escalationPolicies: [{name: p, steps: [{after: 1m, receivers: [x]}]}]", "expected a receiver that is defined"),
        ("suppression: {maintenanceWindows: [{name: w, schedule: 61 2 * * 0, duration: 1h}]}", "expected a cron expression"),
        (
            "suppression: {maintenanceWindows: [{name: w, schedule: 1 2 * * 0, duration: 1h, timezone: Mars/Base}]}",
            "expected an IANA time zone",
        ),
        ("receiverGroups: [{name: g, receivers: [x]}]", "expected a receiver that is defined"),
        (
            "timeIntervals: [{name: n, timeIntervals: [{location: Mars/Base}]}]",
            "alerting.timeIntervals[0].timeIntervals[0].location: expected an IANA time zone",
        ),
        ("inhibitRules: [{sourceMatchers: ['a=~\"(\"']}]", "RE2"),
    ],
)
def test_our_own_mistakes_are_named(section: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "c.yaml"
    receiver = "receivers: [{name: r, type: webhook, config: {url: 'http://127.0.0.1:9/'}}]"
    file.write_text(f"alerting:\n  {receiver}\n  routing: {{defaultReceiver: r}}\n  {section}\n")
    assert run(["config", "validate", str(file)]) == 1
    assert expected in capsys.readouterr().err


def test_an_unknown_receiver_deep_in_the_routes_is_named_with_the_nearest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "c.yaml"
    receiver = "receivers: [{name: pager, type: webhook, config: {url: 'http://127.0.0.1:9/'}}]"
    routes = "[{matchers: ['a=\"b\"'], receivers: [pager], routes: [{match: {team: ml}, receivers: [pagr]}]}]"
    file.write_text(f"alerting:\n  {receiver}\n  routing: {{defaultReceiver: pager, routes: {routes}}}\n")
    assert run(["config", "validate", str(file)]) == 1
    said = capsys.readouterr().err
    assert f"{file}: alerting.routing.routes[0].routes[0].receivers[0]: expected a receiver that is defined" in said
    assert said.strip().endswith('found "pagr"; did you mean pager?')
