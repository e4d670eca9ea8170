"""Threshold rules: a number of one event against a limit, evaluated for a whole batch at once."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sentinel.config.runtime import DetectorConfig
from sentinel.events.columns import Columns, FloatColumn
from sentinel.events.model import Event

CONDITIONS: dict[str, tuple[Callable[[Any, Any], Any], str]] = {
    "greater_than": (operator.gt, ">"),
    "greater_than_or_equal": (operator.ge, ">="),
    "less_than": (operator.lt, "<"),
    "less_than_or_equal": (operator.le, "<="),
    "equal": (operator.eq, "="),
    "not_equal": (operator.ne, "!="),
}

_METRIC_COLUMNS: dict[str, Callable[[Columns, Sequence[Event]], FloatColumn]] = {
    "latency_ms": lambda columns, _: columns.latency_ms,
    "total_tokens": lambda columns, _: columns.total_tokens,
    "prompt_tokens": lambda columns, _: columns.prompt_tokens,
    "completion_tokens": lambda columns, _: columns.completion_tokens,
    "cost_per_request": lambda columns, _: columns.cost,
    "is_error": lambda columns, _: np.where(columns.is_call, columns.is_error.astype(np.float64), np.nan),
    "prompt_length": lambda _, events: _lengths([event.data.prompt for event in events]),
    "response_length": lambda _, events: _lengths([event.data.response for event in events]),
}


class ThresholdRule:
    """One rule of strategy `threshold` at event level. NaN (the event has no such number) never fires, whatever the condition."""

    def __init__(self, detector: DetectorConfig) -> None:
        self.detector = detector
        self.metric = str(detector.metric)
        self.value = float(detector.params["value"])
        self._compare, self.symbol = CONDITIONS[detector.params.get("condition", "greater_than")]

    def hits(self, events: Sequence[Event], columns: Columns) -> list[tuple[int, float]]:
        """(row, observed value) of every event that breaks the limit."""
        numbers = _METRIC_COLUMNS[self.metric](columns, events)
        rows = np.flatnonzero(self._compare(numbers, self.value) & ~np.isnan(numbers))
        return [(row, float(numbers[row])) for row in rows.tolist()]

    def describe(self, observed: float) -> str:
        """The sentence of a hit."""
        return f"{self.metric} was {observed:,.6g}; the rule fires at {self.symbol} {self.value:,.6g}"

    def score(self, observed: float) -> float:
        """0.5 on the limit, towards 1 with the distance relative to it: 1 - 1/(1 + observed/limit) for positive numbers."""
        ratio = abs(observed) / abs(self.value) if self.value else abs(observed) + 1.0
        if self.symbol.startswith("<"):
            ratio = 1.0 / ratio if ratio else 1e9
        return round(ratio / (1.0 + ratio), 4)


def _lengths(texts: Sequence[str | None]) -> FloatColumn:
    return np.array([None if text is None else len(text) for text in texts], dtype=np.float64)
