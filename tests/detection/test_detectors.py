"""Single detectors: odd data, poisoning, adaptation, sizes of states."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pytest
from synthetic import START_MS, pane_of

from sentinel.config.runnable import TRAINED
from sentinel.config.runtime import DetectorConfig
from sentinel.detection.detection import Detection, severity_of, tail_score
from sentinel.detection.detectors import STRATEGIES, new_detector
from sentinel.detection.metrics import SPECS, merge_panes, quantile_ms, value
from sentinel.panes import Pane, UserPane

# Peers see user panes, trained strategies need a model, custom ones a package.
PANE_STRATEGIES = [name for name in STRATEGIES if name not in {"peer", "custom", *TRAINED}]
FITTED: dict[str, dict[str, Any]] = {
    "arima": {"kind": "arima", "d": 1, "ar": [0.2], "ma": [-0.5], "mean": 0.0, "sigma": 1.0},
    "prophet": {"kind": "prophet", "origin": START_MS, "level": 50.0, "slope": 0.0, "daily": [], "weekly": []},
}


def build(strategy: str, metric: str, **params: Any) -> Any:
    given = {"value": 1.0, "fitted": FITTED.get(strategy), **params}
    config = DetectorConfig(id="d", type="statistical", strategy=strategy, level="pane", metric=metric, params=given)
    return new_detector(config, 300_000)


def calls(second: int, latency: float, count: int, rng: np.random.Generator | None = None, errors: int = 0) -> Pane:
    values = rng.lognormal(math.log(latency), 0.5, count) if rng else np.full(count, latency)
    return pane_of("a", "m", START_MS + second * 1000, values, np.full(count, 500), np.full(count, 10_000_000), errors)


@pytest.mark.parametrize("strategy", PANE_STRATEGIES)
@pytest.mark.parametrize("metric", sorted(SPECS))
def test_empty_constant_and_huge_data_never_raise(strategy: str, metric: str) -> None:
    detector = build(strategy, metric, direction="both")
    for second in range(400):
        pane = Pane("t", "a", "m", START_MS + second * 1000) if second % 3 else calls(second, 1.0 if second < 300 else 1e9, 20)
        detection = detector.on_pane(pane) or detector.on_time(pane.end_ms)
        assert detection is None or 0.0 <= detection.score <= 1.0
        assert len(msgspec.msgpack.encode(detector.to_state())) < 4096


@pytest.mark.parametrize("strategy", ["zscore", "moving_average", "percentile"])
def test_constant_data_is_calm_and_a_jump_is_found(strategy: str) -> None:
    detector = build(strategy, "latency_ms")
    said = [detector.on_pane(calls(second, 500.0 if second < 200 else 2000.0, 3)) for second in range(230)]
    assert not any(said[:200])
    assert any(said[200:])


def test_trouble_does_not_poison_the_baseline_but_lasting_change_is_learned() -> None:
    rng = np.random.default_rng(3)
    detector = build("zscore", "latency_ms")
    said: list[tuple[int, Detection]] = []
    for second in range(1600):
        detection = detector.on_pane(calls(second, 500.0 if second < 300 else 2500.0, 4, rng))
        if detection:
            said.append((second, detection))
    baselines = [detection.baseline for _, detection in said]
    assert max(baselines) < 1.15 * min(baselines), "an anomaly must not move the baseline that it is measured with"
    assert said[0][0] < 310
    assert 890 < said[-1][0] < 910, "after 10 minutes the new level is normal"
    assert all(later - earlier >= 10 for (earlier, _), (later, _) in pairwise(said))


def test_sparse_traffic_does_not_cry_wolf() -> None:
    rng = np.random.default_rng(11)
    detector = build("zscore", "latency_ms")
    for second in range(0, 20_000, 7):
        assert detector.on_pane(calls(second, 800.0, 1, rng)) is None


def test_direction_down_finds_a_drop() -> None:
    rng = np.random.default_rng(4)
    detector = build("zscore", "tokens_per_second", direction="down", min_ratio=1.5)
    said = []
    for second in range(300):
        pane = calls(second, 500.0, int(rng.poisson(20)) + 1 if second < 240 else 1, rng)
        said.append(detector.on_pane(pane))
    assert not any(said[:240])
    assert any(said[240:])


def test_sensitivity_scales_the_threshold() -> None:
    thresholds = [build("zscore", "latency_ms", sensitivity=level).tuning.effective_threshold for level in ("low", "medium", "high")]
    assert thresholds == [6.5, 5.0, 4.0]


def test_bursty_traffic_is_allowed_its_pauses() -> None:
    detector = build("silence", "events_per_second")
    for burst in range(10):
        for second in range(burst * 60, burst * 60 + 20):
            assert detector.on_time(START_MS + second * 1000) is None
            detector.on_pane(calls(second, 500.0, 5))
    last = START_MS + (9 * 60 + 20) * 1000
    assert detector.on_time(last + 60_000) is None
    assert detector.on_time(last + 200_000) is not None


def test_wrong_parameters_are_refused_with_the_detectors_name() -> None:
    with pytest.raises(ValueError, match=r"detector 'd'.*window_s"):
        build("zscore", "latency_ms", window_s="soon")
    with pytest.raises(ValueError, match=r"detector 'd'.*evaluation_s"):
        build("zscore", "latency_ms", evaluation_s=600.0)


def test_growth_of_all_users_accuses_nobody() -> None:
    config = DetectorConfig(id="d", type="behavioral", strategy="peer", level="user", metric="top_user_events", params={})
    detector = new_detector(config, 300_000)
    rng = np.random.default_rng(8)
    shares = 1 / np.arange(1, 21)
    for n in range(120):
        counts = rng.multinomial(100 if n < 60 else 400, shares / shares.sum())
        top = int(counts.argmax())
        pane = UserPane("t", "a", START_MS + n * 10_000, 10_000, int((counts > 0).sum()), int(counts.sum()), f"u{top}", int(counts[top]))
        assert detector.on_pane(pane) is None
    assert len(msgspec.msgpack.encode(detector.to_state())) < 4096


def test_scores_and_severities_are_as_documented() -> None:
    assert [round(tail_score(sigma), 2) for sigma in (0.0, 3.0, 5.0, 6.0, 8.0)] == [0.0, 0.56, 0.85, 0.93, 0.99]
    assert tail_score(math.nan) == 0.0
    assert tail_score(1e9) == 1.0
    assert [severity_of(score) for score in (0.5, 0.8, 0.95)] == ["info", "warning", "critical"]


def test_metric_values_of_a_run_of_panes() -> None:
    run = [calls(0, 100.0, 2), calls(1, 300.0, 2, errors=1)]
    assert value("latency_ms", run).mean == pytest.approx(200.0)
    assert value("error_rate", run) == (0.25, 4, 0.1875)
    assert value("requests_per_second", run).mean == 2.0
    assert value("cost_per_request", run).mean == pytest.approx(0.01)
    assert math.isnan(value("latency_ms", []).mean)
    assert 200 < value("latency_p95_ms", run).mean < 450
    assert math.isnan(quantile_ms([0] * 36, 0.5))
    with pytest.raises(ValueError, match="not computed on panes"):
        value("prompt_length", run)


def test_merging_panes_is_exact_in_any_order() -> None:
    rng = np.random.default_rng(2)
    parts = [msgspec.structs.replace(calls(0, 300.0, 3, rng), model=name) for name in "abc"]
    assert merge_panes(parts) == merge_panes(parts[::-1])
    assert merge_panes(parts).calls == 9
