"""Our scoring code against the libraries that trained the models, the tail, and the LSTM's gradients."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from sentinel.detection.metrics import quantile_ms
from sentinel.models.features import vectors
from sentinel.models.scorers import SCORERS, SEQUENCE, average_path, with_size
from sentinel.models.tail import fit_tail
from sentinel.panes import HISTOGRAM_BUCKETS
from services.models import fitting, lstm


@pytest.fixture
def rows() -> Any:
    rng = np.random.default_rng(1)
    found = rng.normal(size=(900, 6))
    found[:, 3] = 0.8 * found[:, 2] + 0.6 * found[:, 3]
    return found


def test_the_forest_scores_as_scikit_learn_does(rows: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import sklearn.ensemble

    kept: list[Any] = []

    class Kept(sklearn.ensemble.IsolationForest):
        def fit(self, *arguments: Any, **named: Any) -> Any:
            kept.append(self)
            return super().fit(*arguments, **named)

    monkeypatch.setattr(sklearn.ensemble, "IsolationForest", Kept)
    arrays = fitting.isolation_forest(rows, np.random.default_rng(2), trees=20)
    ours = SCORERS["isolation_forest"](arrays, 6).score(rows)
    theirs = -kept[0].score_samples(with_size(rows @ arrays["whiten"]))
    # They compare single-precision numbers with the thresholds, and end there on another side now and then.
    assert np.quantile(np.abs(ours - theirs), 0.99) < 1e-6
    assert average_path(256) == pytest.approx(10.2448, abs=1e-3)


@pytest.mark.parametrize("kind", ["isolation_forest", "kmeans", "dbscan", "autoencoder"])
def test_further_off_is_stranger(rows: Any, kind: str) -> None:
    scorer = SCORERS[kind](fitting.FITS[kind](rows, np.random.default_rng(3)), 6)
    off = np.repeat(rows[:1], 2, axis=0)
    off[:, 4] = (7.0, 11.0)
    far, furthest = scorer.score(off)
    assert np.quantile(scorer.score(rows), 0.99) < far < furthest


def test_an_lstm_predicts_what_follows_and_is_surprised_by_what_does_not() -> None:
    rng = np.random.default_rng(5)
    at = np.arange(3000)
    wave = np.column_stack((np.sin(at / 2.0), np.cos(at / 2.0))) * 2.0 + rng.normal(0.0, 0.1, (3000, 2))
    windows = np.stack([wave[n : n + SEQUENCE] for n in range(2900)])
    scorer = SCORERS["lstm"](lstm.fit_lstm(windows, rng), 2)
    usual = scorer.score(windows[-500:])
    odd = windows[-500:].copy()
    odd[:, -1] = odd[:, 0]
    # Each value is an ordinary one; only its place in the sequence is wrong.
    assert np.median(scorer.score(odd)) > 5 * np.median(usual)


def test_the_gradients_are_those_of_finite_differences() -> None:
    rng = np.random.default_rng(6)
    shapes: dict[str, tuple[int, ...]] = {"wx": (2, 12), "wh": (3, 12), "b": (12,), "wy": (3, 2), "by": (2,)}
    weights = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    part = rng.normal(size=(4, SEQUENCE, 2))

    def loss() -> float:
        return float(((part[:, -1] - lstm._predict(weights, part[:, :-1])) ** 2).mean())

    found = lstm._gradients(weights, part)
    for name, values in weights.items():
        place = tuple(rng.integers(0, size) for size in values.shape)
        values[place] += 1e-5
        above = loss()
        values[place] -= 2e-5
        slope = (above - loss()) / 2e-5
        values[place] += 1e-5
        assert found[name][place] == pytest.approx(slope, rel=1e-4, abs=1e-8), name


@pytest.mark.parametrize(
    "draw", [lambda rng, n: rng.normal(size=n), lambda rng, n: rng.exponential(size=n), lambda rng, n: rng.beta(2, 5, n)]
)
def test_the_tail_tells_how_rare_a_score_is(draw: Any) -> None:
    rng = np.random.default_rng(7)
    tail = fit_tail(draw(rng, 5_000))
    many = np.sort(draw(rng, 1_000_000))
    for rare in (1e-2, 1e-3, 1e-4):
        score = float(many[-round(rare * len(many))])
        assert 0.25 < tail.probability(score) / rare < 8.0
        assert tail.sigma(score) == pytest.approx(-NormalDist().inv_cdf(rare), abs=0.5)
    assert tail.sigma(float("nan")) == 0.0
    assert [tail.sigma(float(s)) for s in many[::50_000]] == sorted(tail.sigma(float(s)) for s in many[::50_000])


def test_vectors_read_histograms_as_the_detectors_do() -> None:
    rng = np.random.default_rng(8)
    for _ in range(50):
        histogram = rng.poisson(rng.uniform(0, 2), HISTOGRAM_BUCKETS)
        row = vectors([10, 1, 10, 10_000, 10, 100, 0, 0], histogram)[0]
        assert np.expm1(row[3]) == pytest.approx(quantile_ms(histogram.tolist(), 0.95)) or (histogram.sum() == 0 and np.isnan(row[3]))
        assert np.isnan(row[5])
