"""The series detectors: what each is for, odd values, and states that go on exactly where they were."""

from __future__ import annotations

import math
import random
from typing import Any

import msgspec
import pytest

from sentinel.config.runnable import SERIES as RUNNABLE_SERIES
from sentinel.config.runtime import DetectorConfig
from sentinel.detection.series.fitting import fit_arima, fit_prophet
from sentinel.detection.series.registry import SERIES, SeriesJudge
from sentinel.detection.state import StateError

START_MS = 1_761_955_200_000
"""2025-11-01 00:00 UTC, a Saturday."""
MINUTE_MS = 60_000
FITTED: dict[str, dict[str, Any]] = {
    "arima": {"kind": "arima", "d": 1, "ar": [0.2], "ma": [-0.5], "mean": 0.0, "sigma": 1.0},
    "prophet": {"kind": "prophet", "origin": START_MS, "level": 50.0, "slope": 0.0, "daily": [], "weekly": []},
}


def judge(strategy: str, **params: Any) -> SeriesJudge:
    fitted = {"fitted": FITTED[strategy]} if strategy in FITTED else {}
    return SeriesJudge(DetectorConfig("d", "statistical", strategy, "pane", "latency_ms", {**fitted, **params}))


def alarms(detector: SeriesJudge, values: list[float], step_ms: int = 5 * MINUTE_MS) -> list[int]:
    return [row for row, value in enumerate(values) if detector.update(START_MS + row * step_ms, value).anomalous]


def noise(rows: int, level: float = 50.0, spread: float = 1.0, seed: int = 3) -> list[float]:
    chance = random.Random(seed)
    return [chance.gauss(level, spread) for _ in range(rows)]


def daily(rows: int, seed: int = 3) -> list[float]:
    """Busy from 8 to 18 UTC, five minutes a row, with noise."""
    return [value + (60.0 if 8 <= row * 5 // 60 % 24 < 18 else 0.0) for row, value in enumerate(noise(rows, seed=seed))]


def test_what_the_configuration_accepts_is_what_can_be_made() -> None:
    assert set(SERIES) == RUNNABLE_SERIES


@pytest.mark.parametrize("strategy", sorted(SERIES))
def test_odd_values_have_sane_scores_and_small_states(strategy: str) -> None:
    chance = random.Random(1)
    odd = [0.0, -0.0, 1e-300, -1e100, 1e100, 5e-324, 1.0, 1.0, 1.0]
    detector = judge(strategy)
    for row in range(3000):
        value = chance.choice(odd) if row % 50 < 10 else chance.gauss(0, 1)
        score, _, expected = detector.update(START_MS + row * 7 * MINUTE_MS, value)
        assert 0.0 <= score <= 1.0, (row, value)
        assert math.isfinite(expected)
    assert len(msgspec.msgpack.encode(detector.detector.to_state())) < 4096


@pytest.mark.parametrize("strategy", sorted(SERIES))
def test_a_constant_is_calm(strategy: str) -> None:
    assert alarms(judge(strategy), [50.0] * 2000) == []


@pytest.mark.parametrize("strategy", sorted(SERIES))
def test_a_stored_state_goes_on_exactly_where_it_was(strategy: str) -> None:
    values = [*daily(1500), *noise(200, 90.0, 9.0), *[90.0] * 100]
    whole = judge(strategy)
    straight = [whole.update(START_MS + row * 5 * MINUTE_MS, value) for row, value in enumerate(values)]
    broken, verdicts = judge(strategy), []
    for row, value in enumerate(values):
        if row % 97 == 0:
            state = msgspec.msgpack.decode(msgspec.msgpack.encode(broken.detector.to_state()))
            broken = judge(strategy)
            broken.detector.from_state(state)
        verdicts.append(broken.update(START_MS + row * 5 * MINUTE_MS, value))
    assert verdicts == straight
    assert any(verdict.score > 0.0 for verdict in straight)


@pytest.mark.parametrize("strategy", sorted(SERIES))
def test_a_state_of_another_version_is_refused(strategy: str) -> None:
    detector = judge(strategy).detector
    state = [99, *detector.to_state()[1:]]
    with pytest.raises(StateError, match="version 99"):
        detector.from_state(state)


def test_auto_finds_a_spike_a_shift_and_a_missing_peak_and_says_each_once() -> None:
    spike = daily(2000)
    spike[1700] = 400.0
    assert 1700 in alarms(judge("auto"), spike)
    shift = [*noise(1000), *noise(400, 58.0)]
    said = alarms(judge("auto"), shift)
    assert [row for row in said if 1000 <= row < 1040]
    assert len([row for row in said if row >= 1000]) < 10
    # On the eighth day the busy hours stay away: 8:00 is row 2112.
    missing = [*daily(2016), *noise(288)]
    said = alarms(judge("auto"), missing)
    assert [row for row in said if 2112 <= row < 2160]
    assert len([row for row in said if 300 < row < 2112]) < 5


def test_robust_is_not_moved_by_the_anomaly_itself() -> None:
    values = [*noise(300), *[200.0] * 60, *noise(100, seed=4)]
    said = alarms(judge("robust"), values)
    assert set(range(300, 360)) <= set(said)
    assert not [row for row in said if row >= 360]


def test_seasonal_knows_the_hour_the_day_of_the_week_and_holidays() -> None:
    two_weeks = daily(14 * 288)
    at_night = 14 * 288 + 3 * 12
    day = daily(288, seed=5)
    day[3 * 12] += 60.0
    said = alarms(judge("seasonal"), [*two_weeks, *day])
    assert at_night in said
    assert not [row for row in said if row >= 14 * 288 and row != at_night]
    # Quiet weekends from Saturday the 1st on; then a quiet Monday: an anomaly, unless it is a holiday.
    weeks = [value for day in range(17) for value in (noise if day % 7 < 2 or day == 16 else daily)(288, seed=day)]
    busy = set(range(16 * 288 + 8 * 12, 16 * 288 + 18 * 12))
    assert busy & set(alarms(judge("seasonal"), weeks))
    assert not busy & set(alarms(judge("seasonal", holidays=["2025-11-17"]), weeks))


def test_change_point_says_a_small_lasting_shift_once_and_no_single_spike() -> None:
    values = [*noise(400), *noise(300, 52.0, seed=9)]
    values[200] = 500.0
    said = alarms(judge("change_point"), values)
    assert len(said) == 1
    assert 400 < said[0] < 440


def test_flat_line_needs_a_series_that_used_to_move() -> None:
    stuck = [*noise(300), *[50.5] * 200, *noise(100)]
    said = alarms(judge("flat_line", duration_s=300.0), stuck)
    assert said[0] == 300 + 29
    assert set(said) == set(range(329, 500))
    steps = [float(row // 100) for row in range(2000)]
    assert not [row for row in alarms(judge("flat_line", duration_s=300.0), steps) if row >= 300]


def test_arima_is_fitted_and_applied_as_statsmodels_would() -> None:
    from statsmodels.tsa.arima.model import ARIMA

    chance = random.Random(11)
    values, level = [], 0.0
    for _ in range(600):
        level = 0.7 * level + chance.gauss(0, 1)
        values.append(100 + level)
    times = [START_MS + row * MINUTE_MS for row in range(600)]
    fitted = fit_arima(times, values)
    forecast = SERIES["arima"](judge("robust").tuning, {"fitted": fitted}).forecast  # type: ignore[attr-defined]
    ours = []
    for time_ms, value in zip(times, values, strict=True):
        ours.append(forecast.expect(time_ms))
        forecast.learn(value)
    reference = ARIMA(values, order=(2, 1, 1), trend="n")
    parameters = [*fitted["ar"], *fitted["ma"], fitted["sigma"] ** 2]
    expected = reference.smooth(parameters).fittedvalues
    # The first rows differ by how they start; no residual of such a series is cut.
    assert ours[300:] == pytest.approx(list(expected[300:]), abs=0.02)


def test_prophet_learns_the_day_and_finds_what_departs_from_it() -> None:
    def wave(rows: int, seed: int) -> list[float]:
        return [value + 30 * math.sin(row * math.tau / 288) for row, value in enumerate(noise(rows, seed=seed))]

    values = wave(5 * 288, seed=3)
    times = [START_MS + row * 5 * MINUTE_MS for row in range(len(values))]
    fitted = fit_prophet(times, values)
    detector = judge("prophet", fitted=fitted)
    ahead = wave(2 * 288, seed=12)
    ahead[400] += 20.0
    said = [row for row, value in enumerate(ahead) if detector.update(times[-1] + (row + 1) * 5 * MINUTE_MS, value).anomalous]
    assert said == [400]


def test_direction_floor_and_effect_size_quieten_what_does_not_count() -> None:
    values = noise(200)
    up, down = [*values, 90.0], [*values, 10.0]
    assert alarms(judge("robust", direction="up"), up) == [200]
    assert alarms(judge("robust", direction="up"), down) == []
    assert alarms(judge("robust", direction="down"), down) == [200]
    assert alarms(judge("robust", minimum=100.0), up) == []
    assert alarms(judge("robust", min_ratio=1.5), up) == [200]
    assert alarms(judge("robust", min_ratio=2.0), up) == []
    assert alarms(judge("robust", threshold=100.0), up) == []


def test_parameters_that_do_not_fit_are_told_with_the_detector() -> None:
    with pytest.raises(ValueError, match=r"detector 'd'.*Nowhere"):
        judge("seasonal", timezone="Nowhere/Land")
    with pytest.raises(ValueError, match="detector 'd': a forecast must be fitted first"):
        SeriesJudge(DetectorConfig("d", "statistical", "arima", "pane", "latency_ms", {}))
    with pytest.raises(ValueError, match="detector 'd': a fitted ARIMA needs"):
        judge("arima", fitted={"kind": "arima", "ar": ["x"]})
