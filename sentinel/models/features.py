"""Pane vectors: one row of numbers for a window of panes, the same at training (stored minutes) and in the job (the last minute).

Every feature is a metric of the vocabulary on a scale where its usual noise is about even: means and rates in ln(1 + x), the error share as
its square root (with 3/8 added, which evens the noise of small counts: Anscombe 1948). What a window cannot tell (no call had a cost) is NaN.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from sentinel.panes import HISTOGRAM_BUCKETS, HISTOGRAM_FIRST_MS, HISTOGRAM_GROWTH

Floats = npt.NDArray[np.float64]

WINDOW_S: Final = 60
"""Length of the windows: that of the stored rollups."""
SUMS: Final = (
    "calls", "errors", "latency_count", "latency_sum_us", "token_count", "token_sum", "cost_count", "cost_sum_nano",
)  # fmt: skip
"""What is summed over the panes of a window, beside the latency histogram."""
FEATURES: Final = (
    "calls_per_second", "error_rate", "latency_ms", "latency_p95_ms", "tokens_per_request", "cost_per_request",
)  # fmt: skip
"""Columns of a vector, by the metric's name."""
NOISE_FLOOR: Final = np.array([0.05, 0.02, 0.02, 0.05, 0.02, 0.02])
"""Least standard deviation of each column: differences below it interest nobody."""


def vectors(sums: npt.ArrayLike, histograms: npt.ArrayLike, seconds: float = WINDOW_S) -> Floats:
    """Pane vectors, shape (n, 6), of windows with `SUMS` (n, 8) and latency histograms (n, 36)."""
    s = np.asarray(sums, np.float64).reshape(-1, len(SUMS))
    calls, errors, latency_count, latency_us, token_count, tokens, cost_count, nano = s.T
    with np.errstate(divide="ignore", invalid="ignore"):
        columns = (
            np.log1p(calls / seconds),
            np.sqrt((np.clip(errors, 0.0, calls) + 0.375) / (calls + 0.75)) / (calls > 0.0),
            np.log1p(latency_us / latency_count / 1e3),
            np.log1p(_p95_ms(np.asarray(histograms, np.float64).reshape(-1, HISTOGRAM_BUCKETS))),
            np.log1p(tokens / token_count),
            np.log1p(nano / cost_count / 1e3),
        )
    rows: Floats = np.column_stack(columns)
    rows[~np.isfinite(rows)] = np.nan
    return rows


def display(feature: int, value: float) -> float:
    """A column's value as its metric: calls/s, share, ms, ms, tokens, USD."""
    if feature == 1:
        return float(max(0.0, value) ** 2)
    plain = float(np.expm1(min(value, 60.0)))
    return plain / 1e6 if feature == 5 else plain


def _p95_ms(histograms: Floats) -> Floats:
    """As `sentinel.detection.metrics.quantile_ms`, for many histograms; NaN where one is empty."""
    total = histograms.sum(axis=1)
    rank = 0.95 * total
    cumulative = histograms.cumsum(axis=1)
    bucket = np.argmax((cumulative >= rank[:, None]) & (histograms > 0.0), axis=1)
    rows = np.arange(len(histograms))
    inside = histograms[rows, bucket]
    before = cumulative[rows, bucket] - inside
    lower = HISTOGRAM_FIRST_MS * HISTOGRAM_GROWTH ** (bucket - 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        inner = HISTOGRAM_GROWTH ** np.maximum(0.0, (rank - before) / inside)
    value = np.where(bucket == 0, HISTOGRAM_FIRST_MS, np.where(bucket == HISTOGRAM_BUCKETS - 1, lower, lower * inner))
    return np.where(total > 0.0, value, np.nan)
