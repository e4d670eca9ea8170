"""The value of a metric in a pane: how each metric is summed, and which statistical model fits it.

A window of any length is the sum of its panes' samples, all integers, so that the order of merging never shows in a result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from enum import StrEnum
from operator import attrgetter
from typing import NamedTuple

from sentinel.metrics_vocabulary import canonical_metric
from sentinel.panes import HISTOGRAM_BUCKETS, HISTOGRAM_GROWTH, LOG_SCALE, Pane, histogram_upper_ms


class Model(StrEnum):
    """Which distribution a metric is tested with."""

    LOG_MEAN = "log_mean"
    """Mean of a heavy-tailed quantity of single calls, tested as mean of ln(1 + x)."""
    SHARE = "share"
    """Binomial share of calls."""
    RATE = "rate"
    """Amount per second; its variance is learned from window to window (counts are over-dispersed)."""
    QUANTILE = "quantile"
    """A percentile read from the merged histogram."""
    VALUE = "value"
    """A plain number of any sign, such as a row of a recorded file: mean and variance as they are."""


class Sample(NamedTuple):
    """One pane's (or window's) contribution to a metric; samples of a window add up field by field.

    `calls` with a value; `log_sum`, `log_sumsq` in thousandths of a nat (LOG_MEAN only); `total` the raw sum in the metric's
    integer unit (microseconds, tokens, nano-USD, errors, events); `peak` and `event`: the largest single value and whose it was.
    """

    calls: int
    log_sum: int
    log_sumsq: int
    total: int
    peak: int
    event: str


Read = tuple[int, int, int, int, int, str]
"""The fields of a `Sample` as they are read from panes: a plain tuple costs a third of a named one, and every pane is read a dozen times."""


class MetricSpec(NamedTuple):
    """How one metric is read: its statistical model, its extractor, and the raw units in one display unit."""

    name: str
    model: Model
    read: Callable[[Pane], Read]
    scale: float
    """Raw units (of `Sample.total`) in one display unit: 1000 us in 1 ms, 1e9 nano-USD in 1 USD."""
    log_unit: float
    """Log-domain units in one display unit: `ln(1 + log_unit * value)`."""

    def extract(self, pane: Pane) -> Sample:
        """The pane's contribution."""
        return Sample(*self.read(pane))


_latency = attrgetter("latency_count", "latency_log_sum", "latency_log_sumsq", "latency_sum_us", "latency_max_us", "latency_max_event")
_tokens = attrgetter("token_count", "token_log_sum", "token_log_sumsq", "token_sum", "token_max", "token_max_event")
_cost = attrgetter("cost_count", "cost_log_sum", "cost_log_sumsq", "cost_sum_nano", "cost_max_nano", "cost_max_event")


def _errors(pane: Pane) -> Read:
    return pane.calls, 0, 0, pane.errors, pane.errors, pane.first_event


def _calls(pane: Pane) -> Read:
    return pane.calls, 0, 0, pane.calls, pane.calls, pane.first_event


def _events(pane: Pane) -> Read:
    return pane.events, 0, 0, pane.events, pane.events, pane.first_event


def _prompts(pane: Pane) -> Read:
    return pane.prompts, 0, 0, pane.prompts, pane.prompts, pane.first_event


_SPECS = (
    MetricSpec("latency_ms", Model.LOG_MEAN, _latency, 1e3, 1.0),
    MetricSpec("tokens_per_request", Model.LOG_MEAN, _tokens, 1.0, 1.0),
    MetricSpec("cost_per_request", Model.LOG_MEAN, _cost, 1e9, 1e6),
    MetricSpec("error_rate", Model.SHARE, _errors, 1.0, 1.0),
    MetricSpec("calls_per_second", Model.RATE, _calls, 1.0, 1.0),
    MetricSpec("events_per_second", Model.RATE, _events, 1.0, 1.0),
    MetricSpec("prompts_per_second", Model.RATE, _prompts, 1.0, 1.0),
    MetricSpec("tokens_per_second", Model.RATE, _tokens, 1.0, 1.0),
    MetricSpec("cost_per_second", Model.RATE, _cost, 1e9, 1e6),
    MetricSpec("latency_p95_ms", Model.QUANTILE, _latency, 1e3, 1.0),
)
SPECS: dict[str, MetricSpec] = {spec.name: spec for spec in _SPECS}


def metric_spec(name: str | None) -> MetricSpec:
    """How the metric (or its alias) is read from panes.

    Raises:
        ValueError: when no pane metric has this name; the message lists those that exist.
    """
    try:
        return SPECS[canonical_metric(name or "")]
    except KeyError:
        raise ValueError(f"metric {name!r} is not computed on panes; expected one of {', '.join(sorted(SPECS))}") from None


class Value(NamedTuple):
    """A metric over a run of panes: mean (or rate, share, percentile) in display units, how many calls, variance of single calls.

    `variance` is that of ln(1 + x) for log-domain metrics, p(1 - p) for shares, and NaN where a single run does not tell.
    """

    mean: float
    calls: int
    variance: float


def value(name: str, panes: Iterable[Pane]) -> Value:
    """The metric over a run of panes of one key, in display units (ms, tokens, USD, ratio, per second). Empty: mean NaN, calls 0."""
    spec = metric_spec(name)
    run = list(panes)
    samples = [spec.extract(pane) for pane in run]
    count = sum(sample.calls for sample in samples)
    total = sum(sample.total for sample in samples)
    if spec.model is Model.RATE and run:
        seconds = (max(pane.end_ms for pane in run) - min(pane.start_ms for pane in run)) / 1000.0
        return Value(total / spec.scale / seconds, count, math.nan)
    if count == 0:
        return Value(math.nan, 0, math.nan)
    if spec.model is Model.QUANTILE:
        return Value(quantile_ms(merge_histograms(pane.latency_hist for pane in run), 0.95), count, math.nan)
    if spec.model is Model.SHARE:
        share = total / count
        return Value(share, count, share * (1.0 - share))
    log_sum = sum(sample.log_sum for sample in samples)
    spread = sum(sample.log_sumsq for sample in samples) - log_sum * log_sum / count
    return Value(total / count / spec.scale, count, max(0.0, spread / max(1, count - 1)) / LOG_SCALE**2)


def merge_histograms(histograms: Iterable[list[int]]) -> list[int]:
    """Bucket-wise sum; panes without a histogram count as empty."""
    filled = [histogram for histogram in histograms if histogram]
    return list(map(sum, zip(*filled, strict=True))) if filled else [0] * HISTOGRAM_BUCKETS


def quantile_ms(histogram: list[int], share: float) -> float:
    """The percentile (0..1) of a latency histogram in ms, log-linear inside its bucket; NaN when empty.

    Precise to the bucket (45 %); the open last bucket answers with its lower bound.
    """
    count = sum(histogram)
    if count == 0:
        return math.nan
    rank, seen = share * count, 0
    for bucket, inside in enumerate(histogram):
        if inside and seen + inside >= rank:
            lower = histogram_upper_ms(bucket - 1) if bucket else 0.0
            if bucket == len(histogram) - 1 or not lower:
                return lower or histogram_upper_ms(0)
            inner: float = HISTOGRAM_GROWTH ** max(0.0, (rank - seen) / inside)
            return lower * inner
        seen += inside
    return histogram_upper_ms(len(histogram) - 2)


_summed = attrgetter(
    "events", "prompts", "calls", "errors", "latency_count", "latency_sum_us", "latency_log_sum", "latency_log_sumsq",
    "token_count", "token_sum", "token_log_sum", "token_log_sumsq", "cost_count", "cost_sum_nano", "cost_log_sum", "cost_log_sumsq",
)  # fmt: skip


def merge_panes(panes: list[Pane]) -> Pane:
    """One pane for several models of an application in the same second; the model of the result is empty.

    Exact in any order: sums are integers, exemplars are those of the largest value (ties: the smaller event id).
    """
    first = panes[0]
    merged = Pane(first.tenant_id, first.application_id, "", first.start_ms, first.width_ms)
    # Column by column: a loop over fields with getattr and setattr takes five times as long, and this runs for every application and second.
    (
        merged.events, merged.prompts, merged.calls, merged.errors,
        merged.latency_count, merged.latency_sum_us, merged.latency_log_sum, merged.latency_log_sumsq,
        merged.token_count, merged.token_sum, merged.token_log_sum, merged.token_log_sumsq,
        merged.cost_count, merged.cost_sum_nano, merged.cost_log_sum, merged.cost_log_sumsq,
    ) = map(sum, zip(*map(_summed, panes), strict=True))  # fmt: skip
    for pane in panes:
        if (-pane.latency_max_us, pane.latency_max_event) < (-merged.latency_max_us, merged.latency_max_event):
            merged.latency_max_us, merged.latency_max_event = pane.latency_max_us, pane.latency_max_event
        if (-pane.token_max, pane.token_max_event) < (-merged.token_max, merged.token_max_event):
            merged.token_max, merged.token_max_event = pane.token_max, pane.token_max_event
        if (-pane.cost_max_nano, pane.cost_max_event) < (-merged.cost_max_nano, merged.cost_max_event):
            merged.cost_max_nano, merged.cost_max_event = pane.cost_max_nano, pane.cost_max_event
        if pane.first_event and (not merged.first_event or pane.first_event < merged.first_event):
            merged.first_event = pane.first_event
    merged.latency_hist = merge_histograms(pane.latency_hist for pane in panes)
    return merged
