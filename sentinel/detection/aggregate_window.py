"""A sliding window of partial aggregates: count, sum, extremes and histogram, in bounded state."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from sentinel.detection.facts import Fact, bucket_value
from sentinel.detection.metrics import Model, metric_spec
from sentinel.detection.rules.specs import AggregateSpec
from sentinel.panes import Pane

PARTS = 30
"""A window slides in steps of a thirtieth of its length (at least one second)."""
HISTOGRAM_PARTS = 10
SAMPLES = 3


class Partial(msgspec.Struct, frozen=True):
    """One contribution; `total`, `low` and `high` in display units."""

    count: int
    total: float
    low: float
    high: float
    event: str
    histogram: list[tuple[int, int]]


def partial_of_pane(spec: AggregateSpec, pane: Pane) -> Partial | None:
    """What a pane contributes to an aggregate that panes tell; None when it holds no value."""
    low = math.nan
    if spec.function is not None and spec.metric is None:
        return Partial(pane.events, float(pane.events), 1.0, 1.0, pane.first_event, []) if pane.events else None
    metric = "tokens_per_request" if spec.metric == "total_tokens" else "error_rate" if spec.metric == "is_error" else spec.metric
    own = metric_spec(metric)
    sample = own.extract(pane)
    if sample.calls == 0 and own.model is not Model.RATE:
        return None
    high = (1.0 if sample.total else 0.0) if own.model is Model.SHARE else sample.peak / own.scale
    return Partial(sample.calls, sample.total / own.scale, low, high, sample.event, [])


def partial_of_fact(fact: Fact) -> Partial:
    """What the hop added up."""
    return Partial(fact.count, fact.total, fact.low, fact.high, fact.event, fact.histogram)


class _Part(msgspec.Struct, array_like=True):
    start_ms: int
    count: int
    total: float
    low: float
    high: float
    event: str
    histogram: dict[int, int]


class AggregateWindow:
    """The last `window_s` of one aggregate at one key."""

    def __init__(self, spec: AggregateSpec, state: Any = None) -> None:
        self.spec = spec
        parts = HISTOGRAM_PARTS if _by_histogram(spec) else PARTS
        self._step_ms = max(1000, math.ceil(spec.window_s / parts) * 1000)
        self._length_ms = max(self._step_ms, round(spec.window_s * 1000))
        self._parts: list[_Part] = [msgspec.convert(raw, _Part) for raw in state or ()]

    def add(self, start_ms: int, partial: Partial) -> None:
        """Take a contribution of the second at `start_ms` (event-time order)."""
        step_ms = start_ms - start_ms % self._step_ms
        if not self._parts or self._parts[-1].start_ms < step_ms:
            self._parts.append(_Part(step_ms, 0, 0.0, math.nan, math.nan, "", {}))
        part = self._parts[-1]
        part.count += partial.count
        part.total += partial.total
        part.low = _lower(part.low, partial.low)
        if not part.event or not part.high >= partial.high:
            part.high, part.event = _higher(part.high, partial.high), partial.event or part.event
        for bucket, inside in partial.histogram:
            part.histogram[bucket] = part.histogram.get(bucket, 0) + inside

    def expire(self, now_ms: int) -> bool:
        """Forget what no longer lies in the window that ends at `now_ms`; whether anything is left."""
        oldest = now_ms - self._length_ms
        while self._parts and self._parts[0].start_ms < oldest - oldest % self._step_ms:
            self._parts.pop(0)
        return bool(self._parts)

    @property
    def count(self) -> int:
        """Values in the window."""
        return sum(part.count for part in self._parts)

    def start_ms(self, now_ms: int) -> int:
        """Where the window begins."""
        return max(now_ms - self._length_ms, self._parts[0].start_ms) if self._parts else now_ms

    def value(self) -> float:
        """The aggregate; NaN when the window holds nothing that tells it (a count or a sum of nothing is 0)."""
        parts, function = self._parts, function_of(self.spec)
        count = self.count
        if function == "count":
            return float(count)
        if function in ("sum", "rate"):
            total = sum(part.total for part in parts)
            return total / self.spec.window_s if function == "rate" else total
        if count == 0:
            return math.nan
        if function == "avg":
            return sum(part.total for part in parts) / count
        if function in ("min", "max"):
            known = [value for part in parts if not math.isnan(value := part.low if function == "min" else part.high)]
            return (min(known) if function == "min" else max(known)) if known else math.nan
        return self._percentile((self.spec.percentile or 95.0) / 100.0)

    def samples(self) -> list[str]:
        """Event ids behind the highest values, highest first."""
        ranked = sorted(
            (part for part in self._parts if part.event), key=lambda part: (-part.high if part.high == part.high else 0.0, part.event)
        )
        return list(dict.fromkeys(part.event for part in ranked))[:SAMPLES]

    def _percentile(self, share: float) -> float:
        merged: dict[int, int] = {}
        for part in self._parts:
            for bucket, inside in part.histogram.items():
                merged[bucket] = merged.get(bucket, 0) + inside
        rank, seen = share * sum(merged.values()), 0
        for bucket in sorted(merged):
            seen += merged[bucket]
            if seen >= rank:
                return bucket_value(bucket)
        return math.nan

    def to_state(self) -> list[Any]:
        """The parts, oldest first."""
        return list(self._parts)


def function_of(spec: AggregateSpec) -> str:
    """The function that an aggregate stands for; a window's own metric has one by its nature."""
    if spec.function is not None:
        return spec.function
    if spec.metric == "latency_p95_ms":
        return "percentile"
    return "rate" if metric_spec(spec.metric).model is Model.RATE else "avg"


def _by_histogram(spec: AggregateSpec) -> bool:
    return function_of(spec) == "percentile"


def _lower(one: float, other: float) -> float:
    return other if math.isnan(one) else one if math.isnan(other) else min(one, other)


def _higher(one: float, other: float) -> float:
    return other if math.isnan(one) else one if math.isnan(other) else max(one, other)
