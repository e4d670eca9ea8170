"""24 hours over a change of the clocks: schedules and maintenance windows in three zones, to the quarter of an hour."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from sentinel.alerting.simulation import Simulation
from sentinel.alerting.timeline import read_timeline
from sentinel.alerting.trial import load_trial

ZONES = ("Europe/Berlin", "America/New_York", "Asia/Kolkata")
CONFIG = (
    """
alerting:
  resolveTimeout: 2d
  grouping: {groupBy: [zone], groupWait: 0s, groupInterval: 15m, repeatInterval: 15m}
  receivers: [{name: r, type: webhook, config: {url: "http://127.0.0.1:9/"}}]
  routing:
    defaultReceiver: r
    routes:
"""
    + "".join(f"      - {{match: {{zone: {zone}}}, activeTimeIntervals: [{zone}]}}\n" for zone in ZONES)
    + "  timeIntervals:\n"
    + "".join(
        f'    - {{name: {zone}, timeIntervals: [{{times: [{{startTime: "00:00", endTime: "12:00"}}], location: {zone}}}]}}\n'
        for zone in ZONES
    )
    + "  suppression:\n    maintenanceWindows:\n"
    + "".join(
        f"      - {{name: w{number}, schedule: 30 2 * * *, duration: 2h, timezone: {zone}, matchers: ['zone=\"{zone}\"']}}\n"
        for number, zone in enumerate(ZONES)
    )
)
UNCHANGED = {
    "America/New_York": [("12:00", "16:00"), ("28:00", "30:30"), ("32:30", "36:15")],
    "Asia/Kolkata": [("18:30", "21:00"), ("23:00", "30:30")],
}
DAYS = {
    # 02:30 does not exist in Berlin: the window opens when it would have, at 03:00 summer time, and is two hours long.
    "2026-03-28": UNCHANGED | {"Europe/Berlin": [("23:00", "25:00"), ("27:00", "34:00")]},
    # 02:30 comes twice: the window opens once, at the first.
    "2026-10-24": UNCHANGED | {"Europe/Berlin": [("22:00", "24:30"), ("26:30", "35:00")]},
}
"""Hours of the day in UTC (those above 24 are of the next day) in which each zone is told, ends not included."""


ROWS = re.findall(
    r"^\| (\d{4}-\d\d-\d\d) \| (\S+/\S+) \| (.+) \|$",
    (Path(__file__).resolve().parents[2] / "docs" / "alerting.md").read_text(),
    re.MULTILINE,
)


def quarters(start: str, end: str) -> set[int]:
    first, last = (int(text[:2]) * 60 + int(text[3:]) for text in (start, end))
    return set(range(first, last, 15))


@pytest.mark.parametrize("day", DAYS)
def test_everybody_is_told_in_their_own_hours(day: str, tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(CONFIG)
    post = [{"labels": {"alertname": "A", "zone": zone}} for zone in ZONES]
    timeline = read_timeline(json.dumps({"start": f"{day}T12:00:00Z", "until": 86_400, "events": [{"at": 0, "post": post}]}), day)
    lines = Simulation(load_trial(file).config, timeline).run()
    for zone in ZONES:
        told = {720 + line["at"] // 60 for line in lines if line["groupLabels"]["zone"] == zone}
        assert told == set().union(*(quarters(*span) for span in DAYS[day][zone])), zone


def test_the_table_in_the_documentation_is_what_is_told() -> None:
    told = {
        (day, zone): ", ".join(f"{clock(start)}–{clock(end)}" for start, end in spans)
        for day, zones in DAYS.items()
        for zone, spans in zones.items()
    }
    assert {(day, zone): cell for day, zone, cell in ROWS} == told


def clock(text: str) -> str:
    """The hour of the next day, marked, where it is above 24."""
    hour = int(text[:2])
    return text if hour < 24 else f"{hour - 24:02d}{text[2:]}⁺"
