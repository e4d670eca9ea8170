"""Rules that differ from a near miss in one case each: merging reports, inhibition of what is on both sides, the log over restarts, 429."""

from __future__ import annotations

from pathlib import Path

import pytest
from scenarios import a, config, over, post, silence
from test_log_and_mutes import play

from sentinel.alerting.alerts import Alert, merged
from sentinel.alerting.intervals import Intervals
from sentinel.alerting.labels import compile_all
from sentinel.alerting.muting import Inhibitor
from sentinel.alerting.retry import ALERTMANAGER, OURS
from sentinel.config.runtime import InhibitRule, Matcher, TimeInterval, TimeRange


def report(start: int, end: int, *, timeout: bool = False, note: str = "", at: int = 0) -> Alert:
    return Alert({"alertname": "A"}, {"note": note}, start, end, at, timeout)


@pytest.mark.parametrize(
    ("old", "new", "now", "expected"),
    [
        # (start, end, end is the resolve timeout), old and new; now; (start, end) of what is known then.
        pytest.param((10, 50, False), (20, 60, False), 30, (10, 60), id="overlap at its end: earliest start, latest end"),
        pytest.param((10, 50, False), (5, 40, False), 30, (5, 50), id="overlap at its start: an explicit end that is later stays"),
        pytest.param((10, 50, True), (5, 40, True), 30, (5, 40), id="an end that was only the timeout gives way"),
        pytest.param((10, 50, True), (20, 40, False), 30, (10, 40), id="an explicit end replaces the timeout"),
        pytest.param((10, 50, False), (20, 90, True), 30, (10, 90), id="a later timeout replaces an earlier end"),
        pytest.param((10, 50, False), (20, 45, True), 30, (10, 50), id="an explicit end outlives an earlier timeout"),
        pytest.param((10, 50, False), (20, 25, False), 30, (10, 25), id="over now: an end in the future does not keep it alive"),
        pytest.param((10, 50, False), (20, 25, False), 60, (10, 50), id="both over: the later end"),
        pytest.param((10, 50, True), (20, 25, False), 60, (10, 50), id="both over, the later one was the timeout"),
        pytest.param((10, 50, False), (60, 90, False), 70, (60, 90), id="apart: the new report stands alone"),
        pytest.param((10, 50, False), (50, 90, False), 60, (50, 90), id="touching is apart"),
        pytest.param((10, 50, False), (1, 10, False), 5, (1, 10), id="touching before is apart"),
        pytest.param((10, 50, False), (10, 90, False), 60, (10, 90), id="the same start is no overlap, and keeps the new end"),
        pytest.param((10, 50, False), (10, 50, False), 30, (10, 50), id="the same again"),
    ],
)
def test_reports_of_one_alert_are_merged(
    old: tuple[int, int, bool], new: tuple[int, int, bool], now: int, expected: tuple[int, int]
) -> None:
    known = merged(report(*old[:2], timeout=old[2], note="old", at=1), report(*new[:2], timeout=new[2], note="new", at=2), now)
    assert (known.starts_at, known.ends_at) == expected
    assert (known.annotations["note"], known.updated_at, known.timeout) == ("new", 2, new[2])


def test_what_people_did_stays_while_the_alert_goes_on_and_no_longer() -> None:
    old = report(10, 50)
    old.acknowledged, old.snoozed_until = True, 99
    assert [(m.acknowledged, m.snoozed_until) for m in (merged(old, report(20, 60), now) for now in (49, 50))] == [(True, 99), (False, 0)]


BOTH = {"alertname": "both", "side": "source", "kind": "target", "g": "1"}
SOURCE = {"alertname": "source", "side": "source", "g": "1"}
TARGET = {"alertname": "target", "kind": "target", "g": "1"}


@pytest.mark.parametrize(
    ("firing", "asked", "held"),
    [
        (SOURCE, TARGET, True),
        (BOTH, TARGET, True),
        (SOURCE, BOTH, True),
        (BOTH, BOTH, False),
        (BOTH, {**BOTH, "alertname": "both too"}, False),
        (TARGET, SOURCE, False),
        (TARGET, BOTH, False),
        (SOURCE, SOURCE, False),
        ({**SOURCE, "g": "2"}, TARGET, False),
        ({**SOURCE, "g": "2"}, {**TARGET, "g": "2"}, True),
    ],
)
def test_what_is_on_both_sides_is_held_back_by_plain_sources_alone(firing: dict[str, str], asked: dict[str, str], held: bool) -> None:
    rule = InhibitRule((Matcher("side", "=", "source"),), (Matcher("kind", "=", "target"),), ("g",), "rule")
    assert compile_all(rule.source)(firing) or not held
    inhibitor = Inhibitor([rule])
    inhibitor.learn(Alert(firing, {}, 0, 100, 0))
    assert (inhibitor.inhibiting(asked, 50) == "rule") is held
    assert inhibitor.inhibiting(asked, 100) is None, "the source is over"


LOG = config("receiver: r, group_by: [g], group_wait: 1s, group_interval: 50s, repeat_interval: 5m", more="global: {resolve_timeout: 24h}")


@pytest.mark.parametrize(
    ("restarts", "told"),
    [
        # The entry expires at 601 s. Maintenance at 900 s forgets it; after a restart at 300 s it comes at 1200 s only.
        ([], [(1.0, "firing")]),
        ([{"at": 300, "restart": "term"}, post(301, a())], [(1.0, "firing"), (1002.0, "resolved")]),
    ],
)
def test_the_log_is_tidied_a_quarter_of_an_hour_after_a_restart(
    restarts: list[dict[str, object]], told: list[tuple[float, str]], tmp_path: Path
) -> None:
    events = [post(0, a()), silence(2, 955, 'alertname="A"'), *restarts, post(956, over(956))]
    assert play(LOG, events, 1_100, tmp_path, strict=True) == told


@pytest.mark.parametrize(
    ("restarts", "times"),
    [
        ([{"at": 899, "restart": "kill"}], [1.0, 903.0]),
        ([{"at": 901, "restart": "kill"}], [1.0]),
        ([{"at": 100, "restart": "term"}, post(100.5, a()), {"at": 899, "restart": "kill"}], [1.0]),
        ([{"at": 100, "restart": "kill"}, post(100.5, a()), {"at": 901, "restart": "kill"}], [1.0, 101.5, 903.0]),
    ],
    ids=[
        "killed before the snapshot",
        "killed after it",
        "ending in peace writes one",
        "the next one is a quarter of an hour after a restart",
    ],
)
def test_a_kill_forgets_what_was_told_since_the_last_snapshot(
    restarts: list[dict[str, object]], times: list[float], tmp_path: Path
) -> None:
    text = config(
        "receiver: r, group_by: [g], group_wait: 1s, group_interval: 5m, repeat_interval: 4h", more="global: {resolve_timeout: 24h}"
    )
    events = [post(0, a()), *restarts, post(902, a())]
    assert play(text, events, 910, tmp_path, strict=True) == [(at, "firing") for at in times]


@pytest.mark.parametrize(
    ("kind", "theirs"), [("pagerduty", True), ("opsgenie", True), ("webhook", False), ("slack", False), ("email", False)]
)
def test_429_is_tried_again_by_type_there_and_for_every_type_here(kind: str, theirs: bool) -> None:
    assert (ALERTMANAGER.again("429", 1, kind), OURS.again("429", 1, kind)) == (theirs, True)
    assert [(policy.again("500", 1, kind), policy.again("400", 1, kind)) for policy in (ALERTMANAGER, OURS)] == [(True, False)] * 2
    assert (OURS.again("429", 5, kind), OURS.again("429", 6, kind)) == (True, False)


@pytest.mark.parametrize(
    ("days", "of_month", "inside"),
    [
        ((29, 31), "2026-02", []),
        ((28, 31), "2026-02", [28]),
        ((-31, -28), "2026-02", [1]),
        ((-31, -29), "2026-02", []),
        ((-31, -30), "2026-04", [1]),
        ((-31, -31), "2026-03", [1]),
        ((-1, -1), "2026-04", [30]),
        ((27, -1), "2026-02", [27, 28]),
        ((-2, 31), "2024-02", [28, 29]),
    ],
)
def test_days_that_a_month_does_not_have_are_no_days(days: tuple[int, int], of_month: str, inside: list[int]) -> None:
    from calendar import monthrange
    from datetime import UTC, datetime

    year, month = map(int, of_month.split("-"))
    intervals = Intervals([TimeInterval("d", (TimeRange(days_of_month=(days,)),))])
    all_days = range(1, monthrange(year, month)[1] + 1)
    found = [day for day in all_days if intervals.containing(["d"], round(datetime(year, month, day, 12, tzinfo=UTC).timestamp() * 1000))]
    assert found == inside
