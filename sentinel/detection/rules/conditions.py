"""Conditions on single events, evaluated for a batch at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import re2

from sentinel.detection.comparisons import CONDITIONS
from sentinel.detection.rules.batch import EventBatch
from sentinel.detection.rules.specs import EventSpec
from sentinel.events.columns import BoolColumn

_GLOBS = ("model", "status", "error_type", "user")


class EventTest:
    """One `EventSpec`, compiled. An event without the number or text that is asked for does not match."""

    def __init__(self, spec: EventSpec) -> None:
        self._types = (spec.type,) if isinstance(spec.type, str) else tuple(spec.type or ())
        self._globs = [(field, pattern) for field in _GLOBS if (pattern := getattr(spec, field)) is not None]
        self._globs += [(f"tags.{tag}", pattern) for tag, pattern in (spec.tags or {}).items()]
        self._metric, self._value = spec.metric, spec.value
        self._compare = CONDITIONS[spec.condition][0]
        self._regex: Any = re2.compile(spec.pattern) if spec.pattern is not None else None
        self._field = spec.field
        self._all = [EventTest(part) for part in spec.all]
        self._any = [EventTest(part) for part in spec.any]
        self._not = EventTest(spec.negated) if spec.negated is not None else None

    def matches(self, batch: EventBatch) -> BoolColumn:
        """One truth an event."""
        found = np.ones(len(batch), np.bool_)
        if self._types:
            texts = batch.text("type")
            found &= np.array([text in self._types for text in texts], np.bool_)
        for field, pattern in self._globs:
            found &= batch.glob(field, pattern)
        if self._metric is not None:
            numbers = batch.metric(self._metric)
            found &= self._compare(numbers, self._value) & ~np.isnan(numbers)
        if self._regex is not None:
            self._search(batch, found)
        for part in self._all:
            found &= part.matches(batch)
        if self._any:
            found &= np.logical_or.reduce([part.matches(batch) for part in self._any])
        if self._not is not None:
            found &= ~self._not.matches(batch)
        return found

    def _search(self, batch: EventBatch, found: BoolColumn) -> None:
        """Only what the cheaper conditions left is read."""
        texts = batch.text(self._field)
        for row in np.flatnonzero(found).tolist():
            found[row] = bool(texts[row]) and self._regex.search(texts[row]) is not None
