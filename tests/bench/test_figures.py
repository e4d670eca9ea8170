"""The bench's arithmetic: a wrong window or percentile would make every published figure wrong."""

from __future__ import annotations

import pytest

from bench.figures import compare_outliers, expected, interpolate, last_event_s, merged_progress, percentile, steady, summary
from bench.latency import Sent
from bench.report import render
from bench.zscore import EMPTY, WARM_UP, Baseline, is_outlier, learn, scaled_log


def test_percentiles_are_values_that_occurred() -> None:
    values = [float(value) for value in range(100, 0, -1)]
    assert (percentile(values, 0.5), percentile(values, 0.99), percentile(values, 1.0), percentile([7.0], 0.5)) == (50.0, 99.0, 100.0, 7.0)
    assert summary(values) == {"count": 100, "p50": 50.0, "p99": 99.0, "max": 100.0}
    assert summary([]) == {"count": 0}
    with pytest.raises(ValueError, match="at least one"):
        percentile([], 0.5)


def test_start_up_and_the_end_are_outside_the_window() -> None:
    # 30 s of start-up, then 100 events a second, then a tail that trickles in.
    progress = [(0.0, 0), (30.0, 0), *((30.0 + second, 100 * second) for second in range(1, 10)), (100.0, 1000)]
    found = steady(progress, 1000)
    assert found.rate == pytest.approx(100.0)
    assert (found.begin_s, found.end_s) == (pytest.approx(32.0), pytest.approx(39.0))


def test_samples_that_do_not_move_or_come_out_of_order_change_nothing() -> None:
    plain = [(0.0, 0), (1.0, 300), (2.0, 600), (3.0, 1000)]
    noisy = [plain[2], plain[0], (1.5, 300), plain[1], (1.7, 300), plain[3]]
    assert steady(noisy, 1000) == steady(plain, 1000)


def test_a_run_that_never_reached_the_window_has_no_rate() -> None:
    with pytest.raises(ValueError, match="500 of 1,000"):
        steady([(0.0, 0), (1.0, 500)], 1000)
    with pytest.raises(ValueError, match="0 of 10"):
        steady([], 10)


def test_a_run_is_expected_to_go_on_as_it_went_last() -> None:
    assert expected([], 9.0) == 0.0
    assert expected([(0.0, 0), (10.0, 100)], 20.0) == 100.0
    assert expected([(0.0, 0), (10.0, 100), (20.0, 400)], 25.0) == 550.0


def test_interpolation_stays_inside_the_samples() -> None:
    line = [(1.0, 10.0), (2.0, 20.0), (4.0, 60.0)]
    assert [interpolate(line, at) for at in (0.0, 1.0, 1.5, 3.0, 9.0)] == [10.0, 10.0, 15.0, 40.0, 60.0]


def test_processes_add_up() -> None:
    lines: list[tuple[float, object, int]] = [(2.0, "b", 5), (1.0, "a", 3), (3.0, "a", 9)]
    assert merged_progress(lines) == [(1.0, 3), (2.0, 8), (3.0, 14)]


def test_outliers_missed_and_invented_both_count() -> None:
    found = compare_outliers(["a", "b"], ["b", "b", "x", "early"], learning=["early", "late"])
    assert (found.planted, found.found, found.missed, found.extra, found.same) == (2, 1, ["a"], ["x"], False)
    assert compare_outliers(["a"], ["a"]).same


def test_the_shared_z_score_finds_a_fiftyfold_latency_and_nothing_else() -> None:
    baseline: Baseline = EMPTY
    usual = [400.0 + 7.0 * (index % 50) for index in range(200)]
    for latency in usual:
        number = scaled_log(latency)
        assert not is_outlier(baseline, number)
        baseline = learn(baseline, 1, number, number * number)
    assert is_outlier(baseline, scaled_log(50 * 500.0))
    assert not is_outlier((WARM_UP - 1, 1, 1), scaled_log(1e9)), "nothing is judged while a key is learning"


def test_the_table_shows_the_share_of_the_bare_read() -> None:
    machine = {
        "cores": 2,
        "memory_gib": 8.0,
        "system": "Linux",
        "python": "3.11",
        "packages": {"apache-flink": "2.3.0"},
        "load_before": [0.1],
    }
    rows = [
        {"name": "bare-decode", "what": "bare", "command": "c", "events": 1000, "rate": 200.0, "wall_s": 10.0},
        {
            "name": "standalone",
            "what": "all",
            "command": "c",
            "events": 1000,
            "rate": 50.0,
            "wall_s": 25.0,
            "outliers": {"found": 1, "planted": 2, "extra": [], "same": False},
            "details": {"state": {"bytes a key and detector": 812}},
        },
        {"name": "latency", "what": "end to end", "command": "c", "details": {"event_to_anomaly_ms": {"p50": 12.0}}},
    ]
    text = render({"begun": "now", "command": "c", "machine": machine, "rows": rows})
    assert "| standalone | all | 1,000 | 50 | 0.25 | 25.0 | 40 | 0.40 |" in text and "1 of 2" in text
    assert "| event_to_anomaly_ms p50 | 12.00 |" in text
    assert "**standalone**: all" in text and "| state bytes a key and detector | 812 |" in text, "a row with events has details too"
    assert "**bare-decode**" not in text


def test_an_engine_that_waits_for_more_events_has_ended_before() -> None:
    assert last_event_s([(1.0, 0), (2.0, 50), (3.0, 90), (4.0, 90), (20.0, 90)]) == 3.0
    with pytest.raises(ValueError, match="at least one"):
        last_event_s([])


def test_each_answer_of_a_pane_waits_for_the_panes_anomaly() -> None:
    sent = Sent(grown={("t|a", 100): [99.25, 99.75], ("t|a", 101): [100.5], ("t|b", 100): [99.0]})
    # Of the first anomaly's pane two answers are known; the second key has none; the third pane ended outside the measured time.
    found = {("t|a", "first", 100.0): 102.25, ("t|c", "other", 100.0): 102.0, ("t|b", "early", 90.0): 92.0}
    assert list(sent.of_panes(found, 95.0, 110.0)) == [3.0, 2.5]
