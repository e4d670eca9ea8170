"""A batch of events as rules see it: columns, and what several rules need of it, computed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase

import numpy as np

from sentinel.config.runtime import Scope
from sentinel.events.columns import BoolColumn, Columns, FloatColumn
from sentinel.events.model import Event

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


class EventBatch:
    """Decoded events with their columns and ids."""

    def __init__(self, events: Sequence[Event], columns: Columns, event_ids: Sequence[object]) -> None:
        self.events, self.columns, self.event_ids = events, columns, event_ids
        self._metrics: dict[str, FloatColumn] = {}
        self._keys: dict[str, list[str]] = {}
        self._texts: dict[str, list[str]] = {}

    def __len__(self) -> int:
        return len(self.events)

    def metric(self, name: str) -> FloatColumn:
        """The numbers of a metric of single events; NaN where an event has none."""
        column = self._metrics.get(name)
        if column is None:
            column = self._metrics[name] = _METRIC_COLUMNS[name](self.columns, self.events)
        return column

    def keys(self, by: str) -> list[str]:
        """What a rule keeps apart inside an application; '' for the application itself, and where an event names nothing."""
        keys = self._keys.get(by)
        if keys is None:
            keys = self._keys[by] = self._make_keys(by)
        return keys

    def text(self, field: str) -> list[str]:
        """A text that globs are matched with, one entry an event, '' where there is none."""
        texts = self._texts.get(field)
        if texts is None:
            texts = self._texts[field] = self._make_text(field)
        return texts

    def glob(self, field: str, pattern: str) -> BoolColumn:
        """Where the text matches the glob; equal texts are matched once."""
        texts = self.text(field)
        matches = {text: fnmatchcase(text, pattern) for text in set(texts)}
        return np.array([matches[text] for text in texts], np.bool_)

    def in_scope(self, scope: Scope) -> BoolColumn:
        """Where the detector looks."""
        if not (scope.tenants or scope.applications or scope.models or scope.excluded_tenants):
            return np.ones(len(self.events), np.bool_)
        keys = self.columns.keys
        matches = {key: scope.matches(*key) for key in set(keys)}
        return np.array([matches[key] for key in keys], np.bool_)

    def _make_keys(self, by: str) -> list[str]:
        if by == "user":
            return self.columns.users
        if by == "model":
            return [key[2] for key in self.columns.keys]
        if by == "session":
            return [(event.metadata.session_id or "") if event.metadata else "" for event in self.events]
        if by == "trace":
            return [event.data.trace_id or event.correlation_id or "" for event in self.events]
        return [""] * len(self.events)

    def _make_text(self, field: str) -> list[str]:
        if field == "type":
            return [event.event_type for event in self.events]
        if field in ("model", "user"):
            return self.keys(field)
        if field.startswith("tags."):
            tag = field[5:]
            return [(event.metadata.tags or {}).get(tag, "") if event.metadata else "" for event in self.events]
        return [getattr(event.data, field) or "" for event in self.events]


def _lengths(texts: Sequence[str | None]) -> FloatColumn:
    return np.array([None if text is None else len(text) for text in texts], dtype=np.float64)
