"""Learned normality with exponential forgetting, one class a distribution. Blocks come in, an assessment comes out.

Every class takes the sums of a window: `assess(count, log_sum, total)` and `learn(decay, count, log_sum, log_sumsq, total)`;
`ratio(count, log_sum, total)` is the assessment's ratio alone, which is cheap, and `reading_at(ratio)` turns it round: below that reading of the window
(log_sum / count, total / count or total, see `WindowedDetector.reads_logs`) its ratio is certainly smaller.
All share the idea that a window may differ from the baseline for three reasons: the calls in it are few (sampling error, from
the counts actually seen), windows differ anyway (between-window variance, learned), and the baseline itself is young.
Priors stand in for what a young baseline cannot know; they fade with the first learned blocks.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec

from sentinel.panes import LOG_SCALE

PRIOR_BLOCKS = 4.0
DRIFT_PRIOR = 0.05
"""Before it is learned, window means are taken to wander by 5 % (standard deviation)."""
RATE_SPREAD_PRIOR = 0.3
RING_VALUES = 60
"""Values that the percentile detector remembers: 10 minutes of 10 s evaluations."""
WINSOR = 3.0
"""A learned block counts at most as 3 standard deviations off, so that one odd block moves the baseline little."""
MOST_SIGMA = 1_000.0
ROUNDING = 1e-9
"""Readings are given lower by this part, so that rounding never makes one too high."""


class Assessment(NamedTuple):
    """`sigma` signed; `ratio` observed over expected; `spread` the standard deviation of the log ratio (or of the share)."""

    sigma: float
    ratio: float
    spread: float


class LogMeanBaseline(msgspec.Struct, array_like=True):
    """Mean of ln(1 + x) over calls: random-effects model, within-window variance of calls and between-window variance of means."""

    weight: float = 0.0
    mean: float = 0.0
    within_sum: float = 0.0
    within_weight: float = 0.0
    between_sum: float = 0.0
    blocks: float = 0.0
    raw_sum: float = 0.0

    def variance_within(self) -> float:
        return self.within_sum / self.within_weight if self.within_weight > 0.0 else 1.0

    def variance_between(self) -> float:
        prior = PRIOR_BLOCKS * DRIFT_PRIOR * DRIFT_PRIOR
        return max(prior / (PRIOR_BLOCKS + self.blocks), (self.between_sum + prior) / (self.blocks + PRIOR_BLOCKS))

    def assess(self, count: float, log_sum: float, total: float) -> Assessment:
        within, blocks = self.variance_within(), max(1.0, self.blocks)
        # The factor stands for Student's heavier tails: few blocks tell little about how much blocks differ.
        between = self.variance_between() * (1.0 + 4.0 / blocks)
        spread = math.sqrt(within * (1.0 / count + 1.0 / max(1.0, self.weight)) + between * (1.0 + 1.0 / blocks))
        shift = log_sum / count / LOG_SCALE - self.mean
        return Assessment(shift / spread, math.exp(min(50.0, shift)), spread)

    def ratio(self, count: float, log_sum: float, total: float) -> float:
        return math.exp(min(50.0, log_sum / count / LOG_SCALE - self.mean))

    def reading_at(self, ratio: float) -> float:
        return (self.mean + math.log(ratio) - ROUNDING) * LOG_SCALE

    def learn(self, decay: float, count: int, log_sum: int, log_sumsq: int, total: int) -> None:
        if count == 0:
            return
        mean = log_sum / count / LOG_SCALE
        raw = total / count
        if self.blocks >= 2.0:
            within = self.variance_within()
            sampling = within * (1.0 / count + 1.0 / max(1.0, self.weight))
            limit = WINSOR * math.sqrt(sampling + self.variance_between() * (1.0 + 4.0 / self.blocks))
            shift = max(-limit, min(limit, mean - self.mean))
            self.between_sum = self.between_sum * decay + shift * shift - sampling
            if shift != mean - self.mean:
                raw *= math.exp(max(-50.0, min(50.0, shift - (mean - self.mean))))
                mean = self.mean + shift
        weight = self.weight * decay
        self.raw_sum = self.raw_sum * decay + raw * count
        self.weight = weight + count
        self.mean += (mean - self.mean) * count / self.weight
        self.within_sum = self.within_sum * decay + max(0.0, log_sumsq - log_sum * log_sum / count) / (LOG_SCALE * LOG_SCALE)
        self.within_weight = self.within_weight * decay + count - 1
        self.blocks = self.blocks * decay + 1.0

    def expected(self) -> float:
        """Arithmetic mean of the raw values (what a person would compute), in raw units."""
        return self.raw_sum / self.weight if self.weight else math.nan


class ShareBaseline(msgspec.Struct, array_like=True):
    """A binomial share, tested by the two-sample likelihood ratio (G test), over-dispersion learned."""

    weight: float = 0.0
    hits: float = 0.0
    dispersion_sum: float = 0.0
    blocks: float = 0.0

    def assess(self, count: float, log_sum: float, total: float) -> Assessment:
        hits = min(total, count)
        # Half an error in 25 calls of prior: an application that never failed may fail once without an alarm.
        base_hits, base_count = self.hits + 0.5, self.weight + 25.0
        share, base = hits / count, base_hits / base_count
        pooled = (base_hits + hits) / (base_count + count)
        gain = _gain(hits, count, pooled) + _gain(base_hits, base_count, pooled)
        sigma = math.sqrt(max(0.0, 2.0 * gain) / self.dispersion())
        spread = math.sqrt(base * (1.0 - base) / count * self.dispersion())
        return Assessment(sigma if share >= base else -sigma, share / base, spread)

    def ratio(self, count: float, log_sum: float, total: float) -> float:
        return min(total, count) / count / ((self.hits + 0.5) / (self.weight + 25.0))

    def reading_at(self, ratio: float) -> float:
        return ratio * (self.hits + 0.5) / (self.weight + 25.0) * (1.0 - ROUNDING)

    def dispersion(self) -> float:
        return max(1.0, (self.dispersion_sum + PRIOR_BLOCKS) / (self.blocks + PRIOR_BLOCKS))

    def learn(self, decay: float, count: int, log_sum: int, log_sumsq: int, total: int) -> None:
        if count == 0:
            return
        hits = min(total, count)
        base = (self.hits + 0.5) / (self.weight + 25.0)
        variance = count * base * (1.0 - base)
        excess = min(WINSOR * WINSOR * self.dispersion(), (hits - count * base) ** 2 / variance) if self.blocks >= 2.0 else 1.0
        self.dispersion_sum = self.dispersion_sum * decay + excess
        self.weight = self.weight * decay + count
        self.hits = self.hits * decay + hits
        self.blocks = self.blocks * decay + 1.0

    def expected(self) -> float:
        return self.hits / self.weight if self.weight else math.nan


class ValueBaseline(msgspec.Struct, array_like=True):
    """One total a block (an amount, a percentile), tested on its logarithm; the variance is all learned between blocks.

    `counting`: the total counts events, so that its logarithm varies by at least 1 / expected count (Poisson).
    """

    counting: bool = False
    blocks: float = 0.0
    mean: float = 0.0
    square_sum: float = 0.0
    raw_sum: float = 0.0

    def spread(self) -> float:
        prior = PRIOR_BLOCKS * RATE_SPREAD_PRIOR * RATE_SPREAD_PRIOR
        variance = (self.square_sum + prior) / (self.blocks + PRIOR_BLOCKS)
        if self.counting:
            variance = max(variance, 1.0 / max(1.0, math.expm1(min(50.0, self.mean))))
        return math.sqrt(variance * (1.0 + 4.0 / max(1.0, self.blocks)))

    def assess(self, count: float, log_sum: float, total: float) -> Assessment:
        spread = self.spread()
        shift = math.log1p(max(0.0, total)) - self.mean
        return Assessment(shift / spread, math.exp(min(50.0, shift)), spread)

    def ratio(self, count: float, log_sum: float, total: float) -> float:
        return math.exp(min(50.0, math.log1p(max(0.0, total)) - self.mean))

    def reading_at(self, ratio: float) -> float:
        return math.expm1(min(700.0, self.mean + math.log(ratio) - ROUNDING))

    def learn(self, decay: float, count: int, log_sum: int, log_sumsq: int, total: float) -> None:
        raw = max(0.0, total)
        shift = math.log1p(raw) - self.mean
        if self.blocks >= 2.0:
            limit = WINSOR * self.spread()
            if abs(shift) > limit:
                shift = math.copysign(limit, shift)
                raw = max(0.0, math.expm1(self.mean + shift))
        self.blocks = self.blocks * decay + 1.0
        delta = shift / self.blocks
        # West's weighted update: the second factor is the distance from the new mean.
        self.square_sum = self.square_sum * decay + shift * (shift - delta)
        self.mean += delta
        self.raw_sum = self.raw_sum * decay + raw

    def expected(self) -> float:
        return self.raw_sum / self.blocks if self.blocks else math.nan


class LinearBaseline(msgspec.Struct, array_like=True):
    """Mean and variance of plain numbers; the ratio says only on which side of the mean a window lies."""

    blocks: float = 0.0
    mean: float = 0.0
    square_sum: float = 0.0
    raw_sum: float = 0.0

    def variance(self) -> float:
        """Of single values, widened while there are few (Student's heavier tails)."""
        return self.square_sum / max(1.0, self.blocks - 1.0) * (1.0 + 4.0 / max(1.0, self.blocks))

    def ratio(self, count: float, log_sum: float, total: float) -> float:
        shift = total / count - self.mean
        return math.inf if shift > 0.0 else 0.0 if shift < 0.0 else 1.0

    def reading_at(self, ratio: float) -> float:
        return -math.inf

    def assess(self, count: float, log_sum: float, total: float) -> Assessment:
        shift = total / count - self.mean
        ratio = self.ratio(count, log_sum, total)
        spread = max(math.sqrt(self.variance() * (1.0 / count + 1.0 / max(1.0, self.blocks))), 1e-9 * abs(self.mean))
        if spread == 0.0:
            return Assessment(math.copysign(MOST_SIGMA, shift) if shift else 0.0, ratio, 0.0)
        return Assessment(max(-MOST_SIGMA, min(MOST_SIGMA, shift / spread)), ratio, spread)

    def learn(self, decay: float, count: int, log_sum: int, log_sumsq: int, total: float) -> None:
        if count == 0:
            return
        raw = total / count
        shift = raw - self.mean
        limit = WINSOR * math.sqrt(self.variance())
        if self.blocks >= 2.0 and abs(shift) > limit > 0.0:
            shift = math.copysign(limit, shift)
        self.blocks = self.blocks * decay + 1.0
        delta = shift / self.blocks
        self.square_sum = self.square_sum * decay + shift * (shift - delta)
        self.mean += delta
        self.raw_sum = self.raw_sum * decay + raw

    def expected(self) -> float:
        return self.mean if self.blocks else math.nan


class RingBaseline(msgspec.Struct, array_like=True):
    """The last block values as they are, for a percentile of them. `sigma` comes from their logarithms and only scores."""

    percentile: float
    shared: bool
    values: list[float] = []
    current: float = math.nan
    """The percentile of the values: read at every evaluation, changed by every block."""

    def ratio(self, count: float, log_sum: float, total: float) -> float:
        observed, level = self._value(count, total), self.level()
        return observed / level if level > 0.0 else (math.inf if observed > 0.0 else 1.0)

    def reading_at(self, ratio: float) -> float:
        level = self.level()
        return ratio * level * (1.0 - ROUNDING) if level > 0.0 else -math.inf

    def assess(self, count: float, log_sum: float, total: float) -> Assessment:
        observed = self._value(count, total)
        logs = [math.log1p(value) for value in self.values]
        mean = sum(logs) / len(logs)
        variance = sum((value - mean) ** 2 for value in logs) / len(logs)
        spread = math.sqrt(variance + DRIFT_PRIOR * DRIFT_PRIOR)
        return Assessment((math.log1p(observed) - mean) / spread, self.ratio(count, log_sum, total), spread)

    def learn(self, decay: float, count: int, log_sum: int, log_sumsq: int, total: float) -> None:
        if count:
            self.values.append(self._value(count, total))
            del self.values[:-RING_VALUES]
            self.current = math.nan

    def level(self) -> float:
        """The percentile of the ring (nearest rank)."""
        if math.isnan(self.current):
            ordered = sorted(self.values)
            self.current = ordered[min(len(ordered) - 1, max(0, math.ceil(self.percentile / 100.0 * len(ordered)) - 1))]
        return self.current

    def expected(self) -> float:
        return self.level() if self.values else math.nan

    def _value(self, count: float, total: float) -> float:
        return total / count if self.shared and count else total


Baseline = LogMeanBaseline | ShareBaseline | ValueBaseline | LinearBaseline | RingBaseline


def _gain(hits: float, count: float, pooled: float) -> float:
    """Log-likelihood of a binomial count at its own share over that at the pooled share."""
    misses = count - hits
    gain = hits * math.log(hits / (count * pooled)) if hits > 0 else 0.0
    return gain + (misses * math.log(misses / (count * (1.0 - pooled))) if misses > 0 and pooled < 1.0 else 0.0)
