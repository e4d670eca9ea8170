"""The z-score that every engine of the comparison runs; plain Python without imports from the product, so that it loads in any environment."""

from __future__ import annotations

import math

LOG_SCALE = 1000
"""Numbers are round(1000 * ln(1 + latency in ms)), as the product's panes hold them: latencies are close to lognormal."""
WARM_UP = 20
THRESHOLD = 7.0
LEAST_DEVIATION = 50.0

Baseline = tuple[int, int, int]
"""Count, sum and sum of squares of what one key has shown so far."""
EMPTY: Baseline = (0, 0, 0)


def scaled_log(latency_ms: float) -> int:
    """The number that a latency counts as."""
    return round(LOG_SCALE * math.log1p(latency_ms))


def is_outlier(baseline: Baseline, number: int) -> bool:
    """Whether `number` lies more than `THRESHOLD` standard deviations above the key's mean; False until `WARM_UP` values are known."""
    count, total, squares = baseline
    if count < WARM_UP:
        return False
    mean = total / count
    deviation = math.sqrt(max(squares / count - mean * mean, 0.0))
    return number - mean > THRESHOLD * max(deviation, LEAST_DEVIATION)


def learn(baseline: Baseline, count: int, total: int, squares: int) -> Baseline:
    """The baseline after `count` more values."""
    return baseline[0] + count, baseline[1] + total, baseline[2] + squares
