"""The report of a change under traffic says so when a place stays behind, or the old comes back."""

from __future__ import annotations

from bench.live_findings import SETTLED_S, Change, Finding, render

CHANGE = Change("limit 2 → 1", "sentinel config apply", began=99.0, configured=100.0, judged=(("slow", "2", "1"),))


def found(by: str, place: str, written: float) -> Finding:
    return Finding("slow", by, place, written - 0.5, written)


BEFORE = [found("2", "partition 0", 90.0), found("2", "partition 1", 91.0)]
AFTER = [found("2", "partition 0", 100.4), found("1", "partition 0", 101.0), found("1", "partition 1", 101.5)]
LATER = [found("1", "partition 0", 101.0 + SETTLED_S), found("1", "partition 1", 102.0 + SETTLED_S)]


def test_a_change_that_arrived_everywhere() -> None:
    report, complete = render([CHANGE], [*BEFORE, *AFTER, *LATER])
    assert complete
    assert "| 2 of 2 | +1.00 s | +1.50 s | -0.10 s | +0.40 s | 2 / 0 |" in report
    assert "`slow` by 1: partition 0 +1.00 s, partition 1 +1.50 s" in report


def test_a_place_that_stays_behind_is_named_missing() -> None:
    report, complete = render([CHANGE], [*BEFORE, *AFTER[:2], LATER[0]])
    assert not complete and "1 of 2" in report


def test_the_old_that_comes_back_is_counted() -> None:
    report, complete = render([CHANGE], [*BEFORE, *AFTER, *LATER, found("2", "partition 1", 103.0 + SETTLED_S)])
    assert not complete and "2 / 1" in report


def test_a_change_that_shows_nowhere() -> None:
    assert not render([CHANGE], BEFORE)[1]
    assert not render([CHANGE], [])[1]
