"""The verdict of the outage bench: what it calls lost, and out of order."""

from __future__ import annotations

from bench.gateway_load import Acknowledged
from bench.gateway_outage import Sample, curve, judged, waits_ms
from bench.gateway_topic import Stored

ACKNOWLEDGED = [Acknowledged(10.0, 10.5, ["a", "b"]), Acknowledged(12.0, 12.1, ["c"])]


def test_repeats_are_counted_and_are_no_fault() -> None:
    verdict = judged(ACKNOWLEDGED, Stored(5, {"a", "b", "c", "d"}, []))
    assert verdict["good"] and verdict["missing"] == 0
    assert (verdict["records"], verdict["repeated"], verdict["once after dedup"], verdict["never acknowledged"]) == (5, 1, 4, 1)


def test_an_acknowledged_event_that_is_not_there_is_a_fault() -> None:
    verdict = judged(ACKNOWLEDGED, Stored(2, {"a", "b"}, []))
    assert not verdict["good"] and verdict["missing"] == 1 and verdict["missing, first"] == ["c"]


def test_a_key_out_of_order_is_a_fault() -> None:
    assert not judged(ACKNOWLEDGED, Stored(3, {"a", "b", "c"}, ["t|a"]))["good"]


def test_waits_are_those_of_batches_due_in_the_span() -> None:
    assert waits_ms(ACKNOWLEDGED, 9.0, 0.0, 2.0) == {"count": 1, "p50": 500.0, "p99": 500.0, "max": 500.0}


def test_the_curve_has_rates_the_highest_levels_and_what_happened() -> None:
    samples = [Sample(float(at), at * 100, 90.0 + at, 60.0, at, 2 * at, 1.0, 1) for at in range(1, 31)]
    samples[3] = samples[3]._replace(rss_mib=None, pss_mib=None, memory_events=None, overflow_events=None)
    rows = curve(samples, {"broker killed": 3.5}).splitlines()[2:]
    assert len(rows) == 15
    assert rows[1] == "| 4 | 100 | 93 | 60 | 3 | – | 1 | 1 | broker killed |"
