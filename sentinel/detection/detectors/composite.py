"""Strategy `composite`: conditions on one application joined by and, or, not and order."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from sentinel.config.runtime import DetectorConfig
from sentinel.detection.aggregate_window import AggregateWindow
from sentinel.detection.detection import Detection
from sentinel.detection.detectors.aggregation import beyond, contributions, figure_of, in_words, limit_of
from sentinel.detection.detectors.keyed_rule import rule_detection
from sentinel.detection.episode import Episode
from sentinel.detection.facts import FACT_WIDTH_MS, Fact
from sentinel.detection.rules.sequence import Pattern, SequenceState
from sentinel.detection.rules.specs import NodeSpec, composite_spec
from sentinel.detection.sentences import duration
from sentinel.detection.state import check_version
from sentinel.detection.tuning import Tuning
from sentinel.panes import Pane

STATE_VERSION = 1
DEFAULT_WITHIN_S = 60.0
"""How long another detector's finding counts when the composite does not say."""


class _Node:
    """One part: what it knows, whether it holds, and the words for it. Parts are numbered in the order of `NodeSpec.nodes`, as facts are."""

    def __init__(self, spec: NodeSpec, parts: list[_Node]) -> None:
        self.spec, self.part = spec, len(parts)
        parts.append(self)
        self.children = [_Node(child, parts) for child in (*spec.all, *spec.any, *spec.sequence)]
        self.negated = _Node(spec.negated, parts) if spec.negated is not None else None
        self.window = AggregateWindow(spec) if spec.value is not None else None
        self.pattern: Pattern | None = None
        if spec.sequence:
            self.pattern = Pattern(
                [(bit, 1, False) for bit in range(len(spec.sequence))], round((spec.within_s or DEFAULT_WITHIN_S) * 1000)
            )
        self.sequence = SequenceState()
        self.before = 0
        self.found_ms = 0
        self.observed = math.nan
        self.events: list[str] = []

    def take(self, start_ms: int, panes: list[Pane], facts: dict[int, list[Fact]], found: list[str]) -> None:
        """Add what the second brings."""
        own = facts.get(self.part, [])
        if self.window is not None:
            for _, partial in contributions(self.spec, panes, own):
                self.window.add(start_ms, partial)
            self.window.expire(start_ms + FACT_WIDTH_MS)
        elif self.spec.detector is not None:
            if own or self.spec.detector in found:
                self.found_ms = start_ms + FACT_WIDTH_MS
            self.events = [fact.event for fact in own if fact.event] or self.events

    def holds(self, now_ms: int) -> bool:
        """Whether this part holds at `now_ms`; every part is asked each second, since sequences must see it."""
        spec = self.spec
        if self.window is not None:
            self.observed = self.window.value()
            return beyond(spec, self.window, self.observed)
        if spec.detector is not None:
            return bool(self.found_ms) and now_ms - self.found_ms <= (spec.within_s or DEFAULT_WITHIN_S) * 1000
        if self.negated is not None:
            return not self.negated.holds(now_ms)
        truths = [child.holds(now_ms) for child in self.children]
        if self.pattern is None:
            return all(truths) if spec.all else any(truths)
        mask = sum(1 << bit for bit, truth in enumerate(truths) if truth)
        # What counts is when a part begins to hold; parts that begin in the same second are taken to be in order.
        began, self.before = mask & ~self.before, mask
        match = None
        for bit in range(len(truths)):
            if began >> bit & 1:
                match = self.sequence.feed(self.pattern, 1 << bit, now_ms, "") or match
        return match is not None

    def words(self) -> str:
        """The part as a person says it, with what was seen."""
        spec = self.spec
        if self.window is not None:
            return f"{in_words(spec)} is {figure_of(spec, self.observed)} (limit {limit_of(spec)})"
        if spec.detector is not None:
            return f"{spec.detector} found something within {duration(spec.within_s or DEFAULT_WITHIN_S)}"
        if self.negated is not None:
            return f"not ({self.negated.words()})"
        joint = " and " if spec.all else " or " if spec.any else ", then "
        said = joint.join(child.words() for child in self.children)
        return f"({said}) within {duration(spec.within_s or DEFAULT_WITHIN_S)}" if self.pattern else f"({said})"


class CompositeDetector:
    """Judges the tree each second that brings events of the application."""

    def __init__(self, config: DetectorConfig, dedup_ms: int = 300_000) -> None:
        self.config = config
        self._parts: list[_Node] = []
        self._root = _Node(composite_spec(config), self._parts)
        spec = self._root.spec
        self.tuning = Tuning(level="application", consecutive=spec.consecutive, repeat_s=spec.repeat_s)
        self.dedup_ms = dedup_ms
        self.episode = Episode()

    def on_second(self, start_ms: int, panes: list[Pane], facts: list[Fact], found: list[str]) -> list[Detection]:
        """Add what the second brings, and judge."""
        by_part: dict[int, list[Fact]] = {}
        for fact in facts:
            by_part.setdefault(fact.part, []).append(fact)
        for part in self._parts:
            part.take(start_ms, panes, by_part, found)
        now_ms = start_ms + FACT_WIDTH_MS
        if not self._root.holds(now_ms):
            self.episode.calm()
            return []
        spec = self._root.spec
        if not self.episode.anomalous(start_ms, now_ms, spec.consecutive, round(spec.repeat_s * 1000), self.dedup_ms):
            return []
        windows = [part.window for part in self._parts if part.window is not None]
        samples = [event for window in windows for event in window.samples()] + [event for part in self._parts for event in part.events]
        began_ms = min((window.start_ms(now_ms) for window in windows), default=start_ms)
        return [
            rule_detection(
                self.config,
                "application",
                "",
                sentence=self._root.words(),
                window=(began_ms, now_ms),
                detected_ms=now_ms,
                anchor_ms=self.episode.anchor_ms,
                count=sum(window.count for window in windows),
                samples=list(dict.fromkeys(samples))[:5],
            )
        ]

    def on_time(self, now_ms: int) -> Detection | None:
        """Composites are judged when something comes."""
        return None

    def next_timer(self) -> int | None:
        """Never."""
        return None

    def to_state(self) -> list[Any]:
        """Windows, sequences and findings of the parts, in their order."""
        parts = [
            [part.window.to_state() if part.window else None, part.sequence, part.before, part.found_ms, part.events]
            for part in self._parts
        ]
        return [STATE_VERSION, self.episode, parts]

    def from_state(self, state: Any) -> None:
        """Take over a state of `to_state`; raises StateError on another version."""
        episode, parts = check_version(state, STATE_VERSION, type(self).__name__)
        self.episode = msgspec.convert(episode, Episode)
        for part, (window, sequence, before, found_ms, events) in zip(self._parts, parts, strict=True):
            if part.window is not None:
                part.window = AggregateWindow(part.spec, window)
            part.sequence = msgspec.convert(sequence, SequenceState, strict=False)
            part.before, part.found_ms, part.events = before, found_ms, list(events)
