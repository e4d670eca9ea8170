"""Measurement by held-out family: nothing that a family's figures come from was seen in training or in the choice of its calibration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from scipy.stats import rankdata

from sentinel.injection.arrays import BoolArray, FloatArray, IntArray
from sentinel.injection.training.examples import Example

TWINS: Final = {
    "encoded-harmless": "encoded",
    "disguised-harmless": "disguised",
    "foreign-harmless": "foreign-attacks",
    "foreign-work": "foreign-attacks",
    "human-orders-in-given-texts": "planted-in-given-texts",
    "format-wishes-in-given-texts": "answer-orders-in-given-texts",
    "casual-harmless": "casual-attacks",
    "contrasted-harmless": "contrasted-attacks",
    "situations-harmless": "pretexts",
    "clean-contexts": "planted-answers",
    "planted-code": "planted-answers",
    "planted-tasks": "planted-answers",
    "notes-in-given-texts": "side-orders-in-given-texts",
    "foreign-look-alikes": "foreign-orders",
    "foreign-planted": "foreign-orders",
    "human-side-notes": "side-orders",
    "code-advice": "code-orders",
    "long-personas-harmless": "long-personas",
    "payload-assembly-harmless": "payload-assembly",
    "subject-changes-harmless": "subject-changes",
}
"""A family, and the one that it is held out with."""


class FamilyResult(NamedTuple):
    """Figures of one family. For attacks `flagged` is the recall at the threshold, for harmless texts the false-positive rate."""

    family: str
    label: int
    texts: int
    flagged: float
    auc: float | None
    """Against all harmless texts, equally weighted by family; None for harmless families."""
    recall_at_1_percent: float | None


def family_weights(examples: Sequence[Example]) -> FloatArray:
    """Both labels weigh the same; within a label a family weighs with the square root of its size, so that no large one decides alone."""
    _, number, counts = np.unique([example.family for example in examples], return_inverse=True, return_counts=True)
    labels = np.array([example.label for example in examples])
    weights: FloatArray = (counts[number] ** -0.5).astype(np.float32)
    for label in (0, 1):
        weights[labels == label] /= weights[labels == label].sum()
    return weights


def folds_of(examples: Sequence[Example], count: int) -> list[BoolArray]:
    """Which texts are held out in each fold: whole families, attacks and harmless ones spread evenly. `count` 0 holds out one attack family a fold.

    Families are dealt in the order of their names: those of one kind, whose names begin alike, are not held out together.

    Families that are made alike apart from the attack (`TWINS`) are held out together: a network that knew only one of them would take what they
    have in common for the difference.
    """
    families = np.array([example.family for example in examples])
    labels = {example.family: example.label for example in examples}
    attacks = sorted(name for name, label in labels.items() if label)
    harmless = sorted(name for name, label in labels.items() if not label)
    count = count or len(attacks)
    fold_of = {name: place % count for names in (attacks, harmless) for place, name in enumerate(names)}
    fold_of |= {name: fold_of[twin] for name, twin in TWINS.items() if name in fold_of and twin in fold_of}
    return [np.isin(families, [name for name, own in fold_of.items() if own == fold]) for fold in range(count)]


def near_duplicates(texts: Sequence[str], other: Sequence[str], words: int = 8) -> BoolArray:
    """Which of `texts` share more than half of their runs of eight words with a text of `other`: they are left out of training for a held-out one."""
    known = {hash(run) for text in other for run in _runs(text, words)}
    result = np.zeros(len(texts), np.bool_)
    for place, text in enumerate(texts):
        runs = [hash(run) in known for run in _runs(text, words)]
        result[place] = bool(runs) and sum(runs) > len(runs) / 2
    return result


def _runs(text: str, size: int) -> list[tuple[str, ...]]:
    words = text.lower().split()
    return [tuple(words[place : place + size]) for place in range(len(words) - size + 1)]


def calibrate(logits: FloatArray, labels: FloatArray, weights: FloatArray, rounds: int = 50) -> tuple[float, float]:
    """(slope, shift) of the logistic curve that fits the labels best (Platt 1999), by Newton's method."""
    spread_of = float(np.std(logits)) or 1.0
    slope, shift = 1.0 / spread_of, 0.0
    for _ in range(rounds):
        chance = 1 / (1 + np.exp(-np.clip(slope * logits + shift, -30, 30)))
        error, spread = weights * (chance - labels), weights * chance * (1 - chance)
        gradient = np.array([(error * logits).sum(), error.sum()])
        cross = (spread * logits).sum()
        hessian = np.array([[(spread * logits**2).sum(), cross], [cross, spread.sum()]]) + 1e-9 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        # Far from the best curve the parabola is a bad guess: no step moves a typical logit by more than one.
        step /= max(1.0, abs(step[0]) * spread_of, abs(step[1]))
        slope, shift = slope - step[0], shift - step[1]
    return float(slope), float(shift)


def by_family(examples: Sequence[Example], scores: FloatArray, threshold: float) -> list[FamilyResult]:
    """Results of every family from scores that were made without it."""
    families = np.array([example.family for example in examples])
    labels = np.array([example.label for example in examples])
    harmless = np.flatnonzero(labels == 0)
    weights = family_weights(examples)[harmless]
    limit = weighted_quantile(scores[harmless], weights, 0.99)
    result = []
    for family in sorted(set(families)):
        own = np.flatnonzero(families == family)
        label = int(labels[own[0]])
        flagged = float((scores[own] >= threshold).mean())
        auc = auc_of(scores[own], scores[harmless]) if label else None
        result.append(FamilyResult(family, label, len(own), flagged, auc, float((scores[own] > limit).mean()) if label else None))
    return result


def weighted_quantile(values: FloatArray, weights: FloatArray, share: float) -> float:
    """The value that the share of the weight lies at or below."""
    order: IntArray = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][min(int(np.searchsorted(total, share * total[-1])), len(values) - 1)])


def auc_of(attacks: FloatArray, harmless: FloatArray) -> float:
    """Chance that an attack scores higher than a harmless text."""
    ranks = rankdata(np.concatenate((attacks, harmless)))
    return float((ranks[: len(attacks)].sum() - len(attacks) * (len(attacks) + 1) / 2) / (len(attacks) * len(harmless)))
