"""Where we differ from Alertmanager on purpose, and what it does not have: played on the virtual clock."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from scenarios import ROUTE, SCENARIOS, Scenario, a, answers, config, over, post, silence

from sentinel.alerting.simulation import Simulation
from sentinel.alerting.timeline import TimelineError, read_timeline
from sentinel.alerting.trial import load_trial

DIFFERENT_ON_PURPOSE = {
    "told, silenced, and not told again when it ends",
    "over under a silence: no word, and none of the refire",
    "429 is not tried again for a webhook",
    "SIGKILL forgets the log",
}
OWN = """
alerting:
  resolveTimeout: 1h
  grouping: {groupBy: [g], groupWait: 1s, groupInterval: 3s, repeatInterval: %(repeat)s}
  receivers:
    - {name: r, type: webhook, config: {url: "http://127.0.0.1:9/"}}
    - {name: boss, type: webhook, config: {url: "http://127.0.0.1:9/"}}
    - {name: ceo, type: webhook, config: {url: "http://127.0.0.1:9/"}}
  routing: {defaultReceiver: r%(routing)s}
%(more)s
"""
STEPS = "escalationPolicies: [{name: p, repeat: 1, steps: [{after: 5s, receivers: [boss]}, {after: 5s, receivers: [ceo]}]}]"


def play(text: str, events: list[dict[str, Any]], folder: Path, until: float = 20, *, strict: bool = False) -> list[dict[str, Any]]:
    file = folder / "config.yml"
    file.write_text(text)
    timeline = read_timeline(json.dumps({"start": "2026-03-02T12:00:00Z", "until": until, "events": events}), "timeline")
    return Simulation(load_trial(file).config, timeline, strict=strict).run()


def own(repeat: str = "1h", routing: str = "", more: str = "") -> str:
    return OWN % {"repeat": repeat, "routing": routing, "more": "  " + more}


def short(lines: list[dict[str, Any]]) -> list[tuple[float, str, str]]:
    """(seconds, receiver, alerts as `A` firing or `a` over)."""
    return [
        (
            line["at"],
            line["receiver"],
            "".join(x["labels"]["alertname"] if x["status"] == "firing" else x["labels"]["alertname"].lower() for x in line["alerts"]),
        )
        for line in lines
    ]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_elsewhere_both_modes_say_the_same(scenario: Scenario, tmp_path: Path) -> None:
    both = [play(scenario.config, scenario.events, tmp_path, scenario.until, strict=strict) for strict in (False, True)]
    assert (both[0] == both[1]) is (scenario.name not in DIFFERENT_ON_PURPOSE)


def test_over_under_a_silence_is_told_and_so_is_the_refire(tmp_path: Path) -> None:
    events = [post(0, a()), silence(2, 8, 'alertname="A"'), post(3, over(3)), post(9, a())]
    assert short(play(config(), events, tmp_path)) == [(1, "r", "A"), (4, "r", "a"), (10, "r", "A")]
    assert short(play(config(), events, tmp_path, strict=True)) == [(1, "r", "A")]


def test_over_while_inhibited_or_in_mute_time_is_told(tmp_path: Path) -> None:
    inhibit = config(more="inhibit_rules: [{source_matchers: [alertname=S], target_matchers: [alertname=A], equal: [g]}]")
    events = [post(0, a()), post(2, a("S") | {"endsAt": 900}), post(5, over(5))]
    assert short(play(inhibit, events, tmp_path, 12)) == [(1, "r", "A"), (4, "r", "S"), (7, "r", "aS")]
    assert short(play(inhibit, events, tmp_path, 12, strict=True)) == [(1, "r", "A"), (4, "r", "S")]
    muted = config(
        ROUTE + ", routes: [{matchers: [g=1], receiver: r, mute_time_intervals: [m]}]",
        more="time_intervals: [{name: m, time_intervals: [{times: [{start_time: '12:01', end_time: '12:02'}]}]}]",
    )
    assert short(play(muted, [post(0, a()), post(62, over(62))], tmp_path, 130)) == [(1, "r", "A"), (64, "r", "a")]


def test_what_still_fires_when_a_mute_ends_is_told_again(tmp_path: Path) -> None:
    events = [post(0, a()), silence(2, 6, 'alertname="A"')]
    assert short(play(config(), events, tmp_path)) == [(1, "r", "A"), (7, "r", "A")]
    assert short(play(config(), events, tmp_path, strict=True)) == [(1, "r", "A")]


def test_never_told_and_over_under_a_mute_is_never_told(tmp_path: Path) -> None:
    events = [silence(0, 9, 'alertname="A"'), post(0.2, a()), post(5, over(5))]
    assert short(play(config(), events, tmp_path)) == []


def test_a_kill_loses_and_repeats_nothing(tmp_path: Path) -> None:
    events = [post(0, a()), silence(1.5, 900, 'alertname="Z"'), {"at": 2.5, "restart": "kill"}, post(3, a("B")), post(3, a("Z"))]
    assert short(play(config(), events, tmp_path)) == [(1, "r", "A"), (4, "r", "AB")]


def test_retries_double_from_a_second_and_end_after_five(tmp_path: Path) -> None:
    slow = config(ROUTE.replace("3s", "100s"))
    lines = play(slow, [answers(0, "r", 500), post(0, a())], tmp_path, 90)
    assert [(line["at"], line["attempt"], line["delivered"]) for line in lines] == [
        (1, 1, False),
        (2, 2, False),
        (4, 3, False),
        (8, 4, False),
        (16, 5, False),
        (32, 6, False),
    ]
    recovered = play(slow, [answers(0, "r", 429), post(0, a()), answers(5, "r", 200)], tmp_path, 90)
    assert [(line["at"], line["delivered"]) for line in recovered] == [(1, False), (2, False), (4, False), (8, True)]


def test_compat_retries_until_the_flush_ends(tmp_path: Path) -> None:
    lines = play(config(), [answers(0, "r", 500), post(0, a()), answers(13, "r", 200)], tmp_path, 20, strict=True)
    assert [(line["at"], line["attempt"]) for line in lines] == [
        (1, 1),
        (1.5, 2),
        (2.25, 3),
        (3.375, 4),
        (5.063, 5),
        (7.594, 6),
        (11, 1),
        (11.5, 2),
        (12.25, 3),
        (13.375, 4),
    ]
    assert [line["delivered"] for line in lines] == [False] * 9 + [True]


def test_escalation_steps_repeat_and_stop_when_acknowledged(tmp_path: Path) -> None:
    text = own(routing=", escalation: p", more=STEPS)
    assert short(play(text, [post(0, a())], tmp_path, 40)) == [
        (1, "r", "A"),
        (6, "boss", "A"),
        (11, "ceo", "A"),
        (16, "boss", "A"),
        (21, "ceo", "A"),
    ]
    acknowledged = [post(0, a()), {"at": 7, "ack": {"labels": {"alertname": "A"}}}, post(20, over(20))]
    assert short(play(text, acknowledged, tmp_path, 40)) == [
        (1, "r", "A"),
        (6, "boss", "A"),
        (22, "r", "a"),
        (22, "boss", "a"),
    ]


def test_an_acknowledged_alert_is_not_repeated_but_news_is_told(tmp_path: Path) -> None:
    events = [post(0, a()), {"at": 2, "ack": {"labels": {"g": "1"}}}, post(20, a("B")), {"at": 30, "ack": {"labels": {}}}]
    assert short(play(own("10s"), events, tmp_path, 60)) == [(1, "r", "A"), (22, "r", "AB")]
    events = [post(0, a()), {"at": 2, "ack": {"labels": {"g": "1"}}}, {"at": 20, "unack": {"labels": {"g": "1"}}}]
    assert short(play(own("10s"), events, tmp_path, 30)) == [(1, "r", "A"), (22, "r", "A")]


def test_snoozed_is_told_again_when_the_time_is_up(tmp_path: Path) -> None:
    events = [post(0, a()), {"at": 2, "snooze": {"labels": {"g": "1"}, "until": 12}}]
    assert short(play(own("4s"), events, tmp_path, 17)) == [(1, "r", "A"), (13, "r", "A")]


def test_escalate_does_the_next_step_at_once(tmp_path: Path) -> None:
    text = own(routing=", escalation: p", more=STEPS)
    assert short(play(text, [post(0, a()), {"at": 3, "escalate": {"labels": {}}}], tmp_path, 7)) == [(1, "r", "A"), (3, "boss", "A")]


def test_maintenance_windows_and_suppression_rules_hold_back_what_matches(tmp_path: Path) -> None:
    window = """suppression:
    maintenanceWindows: [{name: w, schedule: "1 13 * * *", duration: 1m, timezone: Europe/Berlin, matchers: ['alertname="A"']}]
    rules: [{name: noise, matchers: ['alertname="N"']}]"""
    events = [post(61, a()), post(61, a("B", "2")), post(61, a("N", "3"))]
    assert short(play(own(more=window), events, tmp_path, 125)) == [(62, "r", "B"), (122, "r", "A")]


BAD_TIMELINES = [
    ("start: x\nuntil: 5\n", "timeline: invalid isoformat string"),
    ("until: 5\n", "object missing required field `start`"),
    ('start: "2026-03-02T12:00:00Z"\nuntil: 5\nevents: [{at: 1}]\n', r"events\[0\]: expected exactly one of post"),
    ('start: "2026-03-02T12:00:00Z"\nuntil: 5\nevents: [{at: 1, pst: []}]\n', "unknown field `pst`"),
    ('start: "2026-03-02T12:00:00Z"\nuntil: 5\nevents: [{at: 1, post: [{labels: {}}]}]\n', r"post\[0\].labels: expected at least one"),
    (
        'start: "2026-03-02T12:00:00Z"\nuntil: 5\nevents: [{at: 1, post: [{labels: {a: b}, startsAt: 5, endsAt: 2}]}]\n',
        r"post\[0\].endsAt: expected an end that is not before startsAt",
    ),
    ('start: "2026-03-02T12:00:00Z"\nuntil: 5\nevents: [{at: 1, receiver: {name: R, respond: 200}}]\n', "did you mean r"),
    ('start: "2026-03-02T12:00:00Z"\nuntil: 5\nevents: [{at: 1, receiver: {name: r, respond: 302}}]\n', "302"),
    ('start: "2026-03-02T12:00:00Z"\nuntil: 5\nevents: [{at: 1, silence: {id: s, matchers: ["a=~(b"], until: 5}}]\n', "RE2"),
    (
        'start: "2026-03-02T12:00:00Z"\nuntil: 5\nevents: [{at: 1, silence: {id: s, matchers: ["a=~.*"], until: 5}}]\n',
        "does not match the empty",
    ),
]


@pytest.mark.parametrize(("text", "expected"), BAD_TIMELINES)
def test_a_timeline_that_cannot_be_played_is_refused(text: str, expected: str, tmp_path: Path) -> None:
    file = tmp_path / "config.yml"
    file.write_text(config())
    with pytest.raises(TimelineError, match=expected):
        Simulation(load_trial(file).config, read_timeline(text, "timeline")).run()
