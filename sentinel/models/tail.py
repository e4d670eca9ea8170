"""From a model's raw score to standard deviations: how rare is the score on normal data?

Peaks over a threshold (Pickands-Balkema-de Haan): beyond a high quantile of the scores of held-out normal windows the excess follows a generalised
Pareto distribution, which gives probabilities rarer than one in the number of windows seen. One scale for all kinds of models.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import msgspec
import numpy as np

from sentinel.models.features import Floats

QUANTILE = 0.97
MOST_SIGMA = 10.0
SHAPE_LIMITS = (-0.1, 0.4)
"""A tail that seems to end is not believed: its end would make anything beyond it certain."""
_normal = NormalDist()


class Tail(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`share` of the normal scores lie above `level`; their excess has scale and shape. `middle`: the median score."""

    level: float
    share: float
    scale: float
    shape: float
    middle: float

    def probability(self, score: float) -> float:
        """The chance that a normal window scores at least this."""
        if not math.isfinite(score):
            return 1.0
        if score <= self.level:
            # Below the level nothing is anomalous: only the order matters.
            span = max(1e-12, self.level - self.middle)
            return min(1.0, self.share + (0.5 - self.share) * min(1.0, (self.level - score) / span))
        excess = (score - self.level) / self.scale
        if abs(self.shape) < 1e-6:
            return self.share * math.exp(-min(700.0, excess))
        inner = 1.0 + self.shape * excess
        return self.share * inner ** (-1.0 / self.shape) if inner > 0.0 else 0.0

    def sigma(self, score: float) -> float:
        """The score in standard deviations of a normal distribution with the same tail, 0 to 10."""
        probability = self.probability(score)
        if probability >= 0.5:
            return 0.0
        return min(MOST_SIGMA, -_normal.inv_cdf(max(probability, 1e-24)))


def fit_tail(scores: Floats) -> Tail:
    """Fit to the scores of normal windows (at least 50) by probability-weighted moments (Hosking and Wallis 1987)."""
    ordered = np.sort(scores[np.isfinite(scores)])
    level = float(np.quantile(ordered, QUANTILE))
    excess = ordered[ordered > level] - level
    middle = float(np.median(ordered))
    if len(excess) < 10 or excess.max() <= 0.0:
        return Tail(level, 1.0 - QUANTILE, max(1e-9, float(ordered.std())), 0.0, middle)
    n = len(excess)
    mean = float(excess.mean())
    weighted = float(np.sum(excess * (n - 1.0 - np.arange(n)) / (n - 1.0)) / n)
    shape = 2.0 - mean / max(1e-12, mean - 2.0 * weighted)
    shape = min(SHAPE_LIMITS[1], max(SHAPE_LIMITS[0], shape))
    scale = max(1e-12, mean * (1.0 - shape))
    return Tail(level, n / len(ordered), scale, shape, middle)
