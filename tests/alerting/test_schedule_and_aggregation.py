"""Active hours with time zones and daylight saving, and aggregation windows."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from alerting_simulation import T0, S, alerts, anomaly, at, config, definition, run, told

from sentinel.alerting.records import DecisionRecord, NotificationRecord
from sentinel.alerting.schedule import ActiveHours
from sentinel.config.runtime import Schedule


def ms(text: str, zone: str = "UTC") -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


PARIS = "Europe/Paris"
WORKDAYS = ("mon", "tue", "wed", "thu", "fri")


@pytest.mark.parametrize(
    ("start", "end", "days", "instant", "active"),
    [
        ("09:00", "17:00", WORKDAYS, "2026-03-02T08:59:59", False),
        ("09:00", "17:00", WORKDAYS, "2026-03-02T09:00", True),
        ("09:00", "17:00", WORKDAYS, "2026-03-02T16:59:59", True),
        ("09:00", "17:00", WORKDAYS, "2026-03-02T17:00", False),
        ("09:00", "17:00", WORKDAYS, "2026-03-01T12:00", False),
        ("00:00", "23:59", (), "2026-03-02T23:59:59", True),
        ("22:00", "06:00", ("fri",), "2026-03-06T23:00", True),
        ("22:00", "06:00", ("fri",), "2026-03-07T05:59", True),
        ("22:00", "06:00", ("fri",), "2026-03-06T05:00", False),
        ("08:00", "08:00", (), "2026-03-06T03:00", True),
        (None, None, ("sun",), "2026-03-01T00:00", True),
    ],
)
def test_active_hours(start: str | None, end: str | None, days: tuple[str, ...], instant: str, active: bool) -> None:
    for zone in ("UTC", PARIS, "America/New_York"):
        assert ActiveHours(Schedule(zone, start, end, days)).is_active(ms(instant, zone)) is active


@pytest.mark.parametrize(
    ("start", "end", "asked", "opens"),
    [
        ("09:00", "17:00", "2026-03-28T18:00:00", "2026-03-29T07:00:00"),  # the night in which Paris goes from UTC+1 to UTC+2
        ("09:00", "17:00", "2026-10-24T18:00:00", "2026-10-25T08:00:00"),  # and back
        ("02:30", "04:00", "2026-03-29T00:00:00", "2026-03-29T01:00:00"),  # 02:30 does not exist: 03:00 local is the first active minute
        ("02:30", "02:45", "2026-10-24T23:00:00", "2026-10-25T00:30:00"),  # 02:30 comes twice: at 00:30 …
        ("02:30", "02:45", "2026-10-25T00:45:00", "2026-10-25T01:30:00"),  # … and at 01:30 UTC
        ("09:00", "17:00", "2026-03-02T12:00:00", "2026-03-02T12:00:00"),
    ],
)
def test_opening_across_daylight_saving(start: str, end: str, asked: str, opens: str) -> None:
    assert ActiveHours(Schedule(PARIS, start, end)).next_active(ms(asked)) == ms(opens)


def test_the_remembered_opening_is_not_taken_for_another_time() -> None:
    hours = ActiveHours(Schedule("UTC", "09:00", "10:00"))
    asked = ["2026-03-02T12:00", "2026-03-02T13:00", "2026-03-03T11:00", "2026-03-02T08:00"]
    assert [hours.next_active(ms(text)) for text in asked] == [ms(f"2026-03-0{day}T09:00") for day in (3, 3, 4, 2)]


def test_an_unknown_time_zone_is_named() -> None:
    with pytest.raises(ValueError, match="expected an IANA time zone such as Europe/Paris, found 'Mars/Olympus'"):
        ActiveHours(Schedule("Mars/Olympus"))


def held(start: str, end: str) -> object:
    return config(definition(schedule=Schedule("UTC", start, end)), interval=60)


def test_outside_active_hours_the_alert_exists_but_is_told_when_they_open() -> None:
    script = [(t, anomaly(last=t, count=1 + t)) for t in range(0, 700, 100)]
    outputs = run(held("12:10", "13:00"), script, until=3_000)
    assert alerts(outputs)[0].status == "firing"
    assert told(outputs) == [(600, "ops", "firing", "warning"), (900, "ops", "resolved", "warning")]
    (held_back,) = [output for output in outputs if isinstance(output, DecisionRecord) and output.outcome == "suppressed"]
    assert (held_back.detail, held_back.until) == ("outside the definition's schedule", "2026-03-02T12:10:00.000Z")


def test_what_is_over_before_the_hours_open_is_told_to_nobody() -> None:
    assert told(run(held("14:00", "15:00"), [(0, anomaly())], until=8_000)) == []


def test_resolved_reaches_whoever_was_told_even_outside_the_hours() -> None:
    assert told(run(held("11:00", "12:02"), [(0, anomaly())])) == [(0, "ops", "firing", "warning"), (300, "ops", "resolved", "warning")]


def counted(function: str, threshold: float, window: float = 60) -> object:
    return config(definition(aggregation_window_s=window, aggregation_function=function, aggregation_threshold=threshold))


def fired_at(settings: object, records: list[object]) -> list[str]:
    """last_seen of the record with which the alert fired."""
    return [record.last_seen for record in alerts(run(settings, [(n, r) for n, r in enumerate(records)], until=100))][:1]  # type: ignore[arg-type]


def test_count_needs_so_many_occurrences_within_the_window() -> None:
    records = [anomaly("a"), anomaly("b", first=30), anomaly("c", first=59.999)]
    assert fired_at(counted("count", 3), records) == [at(59.999)]
    assert fired_at(counted("count", 3), [*records[:2], anomaly("c", first=60)]) == []
    assert fired_at(counted("count", 3), [anomaly(count=2), anomaly(count=2), anomaly(count=3, last=9)]) == [at(9)]


@pytest.mark.parametrize(
    ("function", "threshold", "expected"),
    [("avg", 2.0, 2), ("avg", 2.1, None), ("sum", 6.0, 2), ("max", 3.0, 2), ("max", 3.1, None), ("min", 1.0, 0), ("min", 1.1, None)],
)
def test_functions_of_the_observed_value(function: str, threshold: float, expected: int | None) -> None:
    records = [anomaly(name, first=n, value=float(n + 1)) for n, name in enumerate("abc")]
    assert fired_at(counted(function, threshold), records) == ([] if expected is None else [at(expected)])


def test_anomalies_without_a_value_take_no_part_in_values() -> None:
    assert fired_at(counted("min", -1.0), [anomaly("a")]) == []
    assert fired_at(counted("avg", 2.0), [anomaly("a"), anomaly("b", value=2.0)]) == [at(0)]


def test_the_alert_begins_with_the_first_anomaly_of_the_window_that_reached() -> None:
    outputs = run(
        counted("count", 2, window=60),
        [(0, anomaly("old", model="x")), (100, anomaly("a", first=100)), (110, anomaly("b", first=110))],
        until=110,
    )
    (record,) = alerts(outputs)
    assert (record.starts_at, record.count, record.anomaly_ids, record.labels.get("model")) == (at(100), 2, ["a", "b"], None)
    assert told(outputs) == [(110, "ops", "firing", "warning")]
    assert [len(output.alerts) for output in outputs if isinstance(output, NotificationRecord)] == [1], (
        "what left the window is no part of it"
    )


def test_many_samples_lose_no_occurrence() -> None:
    settings = counted("count", 600, window=86_400)
    assert fired_at(settings, [anomaly(str(n), first=n) for n in range(599)]) == []
    assert alerts(run(settings, [(n, anomaly(str(n), first=n)) for n in range(600)], until=600))[0].count == 600  # type: ignore[arg-type]
    assert T0 % S == 0
