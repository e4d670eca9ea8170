"""The notification log's questions, silences, inhibition and time ranges by themselves."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from scenarios import a, config, over, post, silence

from sentinel.alerting.intervals import Intervals
from sentinel.alerting.log import LogEntry, Reason, View, decide, expiry, written
from sentinel.alerting.muting import Silence, Silences
from sentinel.alerting.simulation import Simulation
from sentinel.alerting.timeline import read_timeline
from sentinel.alerting.trial import load_trial
from sentinel.config.runtime import TimeInterval
from sentinel.config.runtime_alerting_builder import _time_range


def entry(firing: str, resolved: str = "", held: str = "") -> LogEntry:
    return LogEntry(1_000, list(firing), list(resolved), 10**9, list(held))


@pytest.mark.parametrize(
    ("last", "firing", "resolved", "now", "strict", "lenient"),
    [
        (None, "A", "", 1_000, "first", "first"),
        (None, "", "A", 1_000, "never told", "never told"),
        (entry(""), "A", "", 2_000, "first", "first"),
        (entry("A"), "AB", "", 2_000, "new alerts", "new alerts"),
        (entry("A"), "", "A", 2_000, "resolved", "resolved"),
        (entry("A"), "", "B", 2_000, "resolved", "nothing new"),
        (entry(""), "", "B", 2_000, "nothing new", "nothing new"),
        (entry("AB"), "A", "B", 2_000, "some resolved", "some resolved"),
        (entry("A", "B"), "A", "B", 2_000, "nothing new", "nothing new"),
        (entry("A"), "A", "", 10_999, "nothing new", "nothing new"),
        (entry("A"), "A", "", 11_000, "repeat", "repeat"),
        (entry("A", held="A"), "A", "", 2_000, "nothing new", "mute ended"),
    ],
)
def test_the_order_of_questions(last: LogEntry | None, firing: str, resolved: str, now: int, strict: Reason, lenient: Reason) -> None:
    view = View(set(firing), set(resolved), set())
    for mode, expected in ((True, strict), (False, lenient)):
        assert decide(last, view, send_resolved=True, repeat_ms=10_000, now=now, strict=mode) == expected


def test_what_is_covered_stays_known() -> None:
    after = written(entry("AB"), View({"C"}, set(), {"A"}), 5_000, 10_000)
    assert (after.firing, after.held, after.expires) == (["A", "C"], ["A"], 25_000)
    assert expiry(0, 10**12) == 120 * 3_600_000


def play(text: str, events: list[dict[str, object]], until: float, folder: Path, *, strict: bool = False) -> list[tuple[float, str]]:
    (folder / "c.yml").write_text(text)
    timeline = read_timeline(json.dumps({"start": "2026-03-02T12:00:00Z", "until": until, "events": events}), "t")
    return [(line["at"], line["status"]) for line in Simulation(load_trial(folder / "c.yml").config, timeline, strict=strict).run()]


def test_an_entry_outlives_a_long_silence(tmp_path: Path) -> None:
    text = config(
        "receiver: r, group_by: [g], group_wait: 1s, group_interval: 5m, repeat_interval: 10m", more="global: {resolve_timeout: 24h}"
    )
    events = [post(0, a()), silence(2, 40_000, 'alertname="A"'), post(30_000, over(30_000))]
    assert play(text, events, 40_000, tmp_path) == [(1, "firing"), (30_001, "resolved")]
    assert play(text, events, 40_000, tmp_path, strict=True) == [(1, "firing")]


def test_any_source_inhibits(tmp_path: Path) -> None:
    text = config(more="inhibit_rules: [{source_matchers: [alertname=~'S.*'], target_matchers: [alertname=T], equal: [g]}]")
    events = [post(0, a("S1"), a("S2"), a("T")), post(5, over(5, "S1")), post(11, over(11, "S2"))]
    assert play(text, events, 16, tmp_path) == [(1, "firing"), (7, "firing"), (13, "firing")]


def test_silences_match_expire_and_are_idempotent() -> None:
    silences = Silences([Silence("s", ['a="1"', 'b!="2"'], 10, 100)])
    assert [silences.silencing({"a": "1"}, now) for now in (9, 10, 99, 100)] == [None, "s", "s", None]
    assert silences.silencing({"a": "1", "b": "2"}, 50) is None
    assert (silences.expire("s", 60), silences.expire("s", 61), silences.expire("other", 61)) == (True, False, False)
    assert silences.silencing({"a": "1"}, 60) is None
    for matchers in ([], ['a=~".*"'], ['a!="x"', "b="]):
        with pytest.raises(ValueError, match="does not match the empty value"):
            silences.set(Silence("t", matchers, 0, 1))


RANGE = {"times": [], "weekdays": [], "daysOfMonth": [], "months": [], "years": [], "location": "Europe/Berlin"}


@pytest.mark.parametrize(
    ("fields", "inside", "outside"),
    [
        (
            {"times": [{"startTime": "22:00", "endTime": "24:00"}]},
            ["2026-03-02T22:00", "2026-03-02T23:59:59"],
            ["2026-03-02T21:59:59", "2026-03-03T00:00"],
        ),
        ({"weekdays": ["monday:wednesday", "sunday"]}, ["2026-03-02T10:00", "2026-03-08T10:00"], ["2026-03-05T10:00"]),
        (
            {"daysOfMonth": ["-3:-1", "1"]},
            ["2026-02-26T10:00", "2026-02-28T23:59", "2026-03-29T02:59", "2026-03-01T00:00"],
            ["2026-02-25T23:59", "2026-03-02T00:00"],
        ),
        ({"daysOfMonth": ["28:31"]}, ["2026-02-28T10:00", "2026-04-30T10:00"], ["2026-02-27T10:00"]),
        ({"daysOfMonth": ["31"]}, ["2026-03-31T10:00"], ["2026-02-28T10:00", "2026-04-30T10:00"]),
        ({"months": ["may:august", 12]}, ["2026-05-01T00:00", "2026-12-31T23:59"], ["2026-09-01T00:00"]),
        ({"years": ["2026:2027"]}, ["2026-01-01T00:00"], ["2025-12-31T23:59", "2028-01-01T00:00"]),
        ({"weekdays": ["monday"], "months": ["april"]}, ["2026-04-06T10:00"], ["2026-04-07T10:00", "2026-03-02T10:00"]),
    ],
)
def test_time_ranges(fields: dict[str, object], inside: list[str], outside: list[str]) -> None:
    intervals = Intervals([TimeInterval("x", (_time_range(RANGE | fields),))])
    for texts, expected in ((inside, ["x"]), (outside, [])):
        for text in texts:
            at = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Europe/Berlin"))
            assert intervals.containing(["x"], round(at.timestamp() * 1000)) == expected, text
