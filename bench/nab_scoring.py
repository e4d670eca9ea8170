"""The score of the Numenta Anomaly Benchmark, after its published description (Lavin & Ahmad 2015, arXiv 1510.03336).

An alarm inside an anomaly window earns a sigmoid of its place (early: almost 1, at the window's end: 0), and only the best alarm of a window
counts; an alarm outside costs the false-positive weight times the sigmoid of its distance after the last window; a window without an
alarm costs the miss weight. The first rows of a file are not scored. 0 is a detector that never speaks, 100 one that is perfect.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
PROBATION_SHARE = 0.15
PROBATION_ROWS = 750
FAR_AFTER = 3.0
"""Beyond this many window lengths after a window, a false alarm costs the whole weight."""


@dataclass(frozen=True)
class Profile:
    """What an alarm outside a window and a missed window cost, where a found window earns up to 1."""

    name: str
    false_positive: float
    miss: float


PROFILES = (Profile("standard", 0.11, 1.0), Profile("low_fp", 0.22, 1.0), Profile("low_fn", 0.11, 2.0))


@dataclass(frozen=True)
class ScoredFile:
    """One file: its scores, and what an alarm at each row is worth before weights. `windows` are row ranges, both ends included."""

    scores: Floats
    place: Floats
    window_of: NDArray[np.int64]
    windows: int
    skipped: int


def sigmoid(position: Floats) -> Floats:
    """1 far before 0, 0 at 0, -1 far after."""
    value: Floats = 2.0 / (1.0 + np.exp(5.0 * position)) - 1.0
    return value


def scored_file(scores: Floats, windows: list[tuple[int, int]]) -> ScoredFile:
    """Prepare a file. `windows`: (first row, last row) in order."""
    rows = np.arange(len(scores))
    place = np.full(len(scores), -1.0)
    window_of = np.full(len(scores), -1)
    for first, last in windows:
        after = (rows - last) / max(1, last - first)
        late = rows > last
        place[late] = np.where(after[late] > FAR_AFTER, -1.0, sigmoid(after[late]))
    for index, (first, last) in enumerate(windows):
        inside = (rows >= first) & (rows <= last)
        width = last - first + 1
        place[inside] = sigmoid(-(last - rows[inside] + 1) / width) / sigmoid(np.array([-1.0]))[0]
        window_of[inside] = index
    return ScoredFile(scores, place, window_of, len(windows), min(int(PROBATION_SHARE * len(scores)), PROBATION_ROWS))


@dataclass(frozen=True)
class Result:
    """Score at a threshold, windows found of all, and alarms outside windows."""

    score: float
    threshold: float
    found: int
    windows: int
    false_alarms: int


def _events(files: Mapping[str, ScoredFile]) -> tuple[Floats, Floats, NDArray[np.int64], int]:
    """All scored rows of all files, highest score first: score, place, number of the window over all files (-1: none)."""
    scores, places, numbers, total = [], [], [], 0
    for file in files.values():
        scores.append(file.scores[file.skipped :])
        places.append(file.place[file.skipped :])
        window = file.window_of[file.skipped :]
        numbers.append(np.where(window >= 0, window + total, -1))
        total += file.windows
    score = np.concatenate(scores)
    order = np.argsort(-score, kind="stable")
    return score[order], np.concatenate(places)[order], np.concatenate(numbers)[order], total


def sweep(files: Mapping[str, ScoredFile], profile: Profile) -> tuple[Floats, Floats]:
    """Thresholds (falling) and the normalised score with each of them. One threshold holds for all files."""
    score, place, number, total = _events(files)
    gain = np.where(number < 0, place * profile.false_positive, 0.0)
    best: dict[int, float] = {}
    for row in np.flatnonzero(number >= 0):
        window, value = int(number[row]), float(place[row])
        before = best.get(window)
        if before is None or value > before:
            gain[row] = value - (-profile.miss if before is None else before)
            best[window] = value
    running = np.cumsum(gain) - profile.miss * total
    last = np.flatnonzero(np.append(score[1:] != score[:-1], True))
    null, perfect = -profile.miss * total, float(total)
    return score[last], 100.0 * (running[last] - null) / (perfect - null)


def best(files: Mapping[str, ScoredFile], profile: Profile) -> Result:
    """The score with the threshold that suits these files best (chosen with hindsight, as the leaderboard does)."""
    thresholds, scores = sweep(files, profile)
    top = int(np.argmax(scores))
    return at(files, profile, float(thresholds[top])) if scores[top] > 0.0 else Result(0.0, float("inf"), 0, _windows(files), 0)


def at(files: Mapping[str, ScoredFile], profile: Profile, threshold: float) -> Result:
    """The score when every row with at least `threshold` is an alarm. Of files without any window the score is minus the cost of alarms."""
    raw, found, false_alarms = 0.0, 0, 0
    for file in files.values():
        alarm = file.scores >= threshold
        alarm[: file.skipped] = False
        outside = alarm & (file.window_of < 0)
        raw += profile.false_positive * float(file.place[outside].sum())
        false_alarms += int(outside.sum())
        for window in range(file.windows):
            inside = alarm & (file.window_of == window)
            raw += float(file.place[inside].max()) if inside.any() else -profile.miss
            found += bool(inside.any())
    total = _windows(files)
    null = -profile.miss * total
    return Result(100.0 * (raw - null) / (total - null) if total else 100.0 * raw, threshold, found, total, false_alarms)


def _windows(files: Mapping[str, ScoredFile]) -> int:
    return sum(file.windows for file in files.values())
