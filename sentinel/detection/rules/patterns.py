"""Pattern rules: RE2 over the texts of an event. One automaton holds the patterns of all rules of a text field, so that a text is read once.

RE2 runs in time linear in the text, so that no pattern can blow up (github.com/google/re2).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import re2

from sentinel.config.runtime import DetectorConfig
from sentinel.events.model import Event

TEXT_FIELDS = ("prompt", "response", "message")
"""The texts of an event that a rule may read."""

PATTERN_SCORE = 0.9
"""A pattern either matches or not; its score leaves room above for a confirmed finding."""


class PatternHit(NamedTuple):
    """A rule that matched on one row, with the pattern's id and the text that it matched (cut to 80 characters)."""

    row: int
    detector: DetectorConfig
    pattern_id: str
    field: str
    excerpt: str


class _Automaton(NamedTuple):
    field: str
    matcher: re2.Set
    sources: list[tuple[DetectorConfig, str, str]]
    """(detector, pattern id, pattern) by the number that the set returns."""


class PatternRules:
    """All rules of strategy `pattern` together."""

    def __init__(self, detectors: Sequence[DetectorConfig]) -> None:
        self.detectors = tuple(detectors)
        self._automata = [automaton for field in TEXT_FIELDS if (automaton := _compile(field, detectors)) is not None]

    def hits(self, events: Sequence[Event]) -> list[PatternHit]:
        """Every rule that matches, at most one hit a rule and event."""
        found: list[PatternHit] = []
        for field, matcher, sources in self._automata:
            match = matcher.Match
            for row, event in enumerate(events):
                text = getattr(event.data, field)
                if text and (numbers := match(text)):
                    found.extend(_hits_of(row, field, text, sorted(numbers), sources))
        return found


def _hits_of(row: int, field: str, text: str, numbers: list[int], sources: list[tuple[DetectorConfig, str, str]]) -> list[PatternHit]:
    by_detector: dict[str, PatternHit] = {}
    for number in numbers:
        detector, pattern_id, pattern = sources[number]
        if detector.id not in by_detector:
            matched = re2.search(pattern, text)
            excerpt = _readable(matched.group(0)[:80]) if matched else ""
            by_detector[detector.id] = PatternHit(row, detector, pattern_id, field, excerpt)
    return list(by_detector.values())


def _readable(text: str) -> str:
    """Control characters of an attacker's text as spaces: it goes into databases, terminals and mails."""
    return "".join(character if character.isprintable() else " " for character in text)


def _compile(field: str, detectors: Sequence[DetectorConfig]) -> _Automaton | None:
    matcher = re2.Set.SearchSet()
    sources: list[tuple[DetectorConfig, str, str]] = []
    for detector in detectors:
        if field in (detector.params.get("fields") or ("prompt",)):
            for entry in detector.params["patterns"]:
                matcher.Add(entry["pattern"])
                sources.append((detector, entry["id"], entry["pattern"]))
    if not sources:
        return None
    matcher.Compile()
    return _Automaton(field, matcher, sources)
