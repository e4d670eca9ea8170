"""Pattern rules: RE2 over the texts of an event. One automaton holds the patterns of all rules of a text field, so that a text is read once.

RE2 runs in time linear in the text, so that no pattern can blow up (github.com/google/re2).

Nearly no text matches, and a call of RE2 costs as much as reading a short text. So `SCREENED` texts are looked at as lines of one, and each for itself
only where that one matches. A pattern that matches a text matches it as a line as well, when `^` and `$` stand for the bounds of a line and nothing
in it asks for those of the whole text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import re2

from sentinel.automata import automaton
from sentinel.config.runtime import DetectorConfig
from sentinel.events.model import Event

TEXT_FIELDS = ("prompt", "response", "message")
"""The texts of an event that a rule may read."""

PATTERN_SCORE = 0.9
"""A pattern either matches or not; its score leaves room above for a confirmed finding."""


SCREENED = 32
_OF_WHOLE_TEXTS = re2.compile(r"\\[Az]|\(\?[a-zA-Z]*-")
"""What asks for the bounds of the whole text, or may forbid `^` and `$` to be those of a line (`(?-m)`)."""


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
    screen: re2.Set | None
    """Matches the lines of a text; None where lines are not enough to say whether one matches."""
    sources: list[tuple[DetectorConfig, str, str]]
    """(detector, pattern id, pattern) by the number that the set returns."""


class PatternRules:
    """All rules of strategy `pattern` together."""

    def __init__(self, detectors: Sequence[DetectorConfig]) -> None:
        self.detectors = tuple(detectors)
        self._automata = [compiled for field in TEXT_FIELDS if (compiled := _compile(field, detectors)) is not None]

    def hits(self, events: Sequence[Event]) -> list[PatternHit]:
        """Every rule that matches, at most one hit a rule and event."""
        found: list[PatternHit] = []
        for field, matcher, screen, sources in self._automata:
            texts = [(row, text) for row, event in enumerate(events) if (text := getattr(event.data, field))]
            match = matcher.Match
            for begin in range(0, len(texts), SCREENED):
                part = texts[begin : begin + SCREENED]
                if screen is not None and not screen.Match("\n".join([text for _, text in part])):
                    continue
                for row, text in part:
                    if numbers := match(text):
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
    sources = [
        (detector, entry["id"], entry["pattern"])
        for detector in detectors
        if field in (detector.params.get("fields") or ("prompt",))
        for entry in detector.params["patterns"]
    ]
    if not sources:
        return None
    patterns = [pattern for _, _, pattern in sources]
    of_lines = not any(_OF_WHOLE_TEXTS.search(pattern) for pattern in patterns)
    return _Automaton(field, automaton(patterns), automaton([f"(?m){pattern}" for pattern in patterns]) if of_lines else None, sources)
