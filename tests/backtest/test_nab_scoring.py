"""The benchmark's arithmetic on series where the score can be worked out by hand, and the aim of `auto` on the development files."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from bench.nab import load_corpus, scored
from bench.nab_scoring import PROFILES, at, best, scored_file

NAB = Path(__file__).resolve().parents[3] / "shared" / "data" / "nab-dev"
STANDARD = PROFILES[0]


def sigmoid(place: float) -> float:
    return 2.0 / (1.0 + math.exp(5.0 * place)) - 1.0


def scores(rows: int, **alarms: float) -> np.ndarray:
    found = np.zeros(rows)
    for row, score in alarms.items():
        found[int(row.removeprefix("at"))] = score
    return found


def test_the_first_row_of_the_window_is_perfect_and_silence_is_zero() -> None:
    window = [(500, 599)]
    assert best({"a": scored_file(scores(1000, at500=1.0), window)}, STANDARD).score == pytest.approx(100.0)
    assert best({"a": scored_file(scores(1000), window)}, STANDARD).score == pytest.approx(0.0)


def test_a_later_alarm_earns_less_and_only_the_best_of_a_window_counts() -> None:
    file = scored_file(scores(1000, at550=1.0, at580=1.0), [(500, 599)])
    earned = sigmoid(-50 / 100) / sigmoid(-1.0)
    assert at({"a": file}, STANDARD, 0.5).score == pytest.approx(100.0 * (earned + 1.0) / 2.0)
    # With the other order of the sweep the first alarm replaces the second.
    rising = scored_file(scores(1000, at550=0.7, at580=1.0), [(500, 599)])
    assert best({"a": rising}, STANDARD).score == pytest.approx(100.0 * (earned + 1.0) / 2.0)


def test_false_alarms_cost_by_their_distance_and_the_profile() -> None:
    window = [(500, 599)]
    for profile in PROFILES:
        before = at({"a": scored_file(scores(1000, at300=1.0), window)}, profile, 0.5)
        assert before.score == pytest.approx(100.0 * -profile.false_positive / (1.0 + profile.miss))
        assert before.false_alarms == 1
        after = at({"a": scored_file(scores(1000, at609=1.0), window)}, profile, 0.5)
        assert after.score == pytest.approx(100.0 * profile.false_positive * sigmoid(10 / 99) / (1.0 + profile.miss))
        far = at({"a": scored_file(scores(1000, at950=1.0), window)}, profile, 0.5)
        assert far.score == before.score


def test_the_first_rows_are_not_scored() -> None:
    assert at({"a": scored_file(scores(1000, at149=1.0), [(500, 599)])}, STANDARD, 0.5).false_alarms == 0
    assert at({"a": scored_file(scores(1000, at150=1.0), [(500, 599)])}, STANDARD, 0.5).false_alarms == 1
    assert scored_file(scores(20_000), []).skipped == 750


def test_one_threshold_holds_for_all_files_and_the_sweep_agrees_with_a_count() -> None:
    chance = np.random.default_rng(5)
    files = {
        name: scored_file(np.round(chance.random(800), 2), [(300, 360), (500, 560)] if name != "b" else []) for name in ("a", "b", "c")
    }
    for profile in PROFILES:
        found = best(files, profile)
        every = [at(files, profile, threshold).score for threshold in np.unique(np.concatenate([f.scores for f in files.values()]))]
        assert found.score == pytest.approx(max(0.0, *every))


@pytest.mark.skipif(not NAB.is_dir(), reason="the development files of the benchmark are not here")
def test_auto_reaches_its_aim_on_the_development_files() -> None:
    files = scored(load_corpus(NAB), "auto")
    assert len(files) == 28
    assert best(files, STANDARD).score >= 68.0
    assert at(files, STANDARD, 0.5).score >= 66.0
