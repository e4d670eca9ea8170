"""Find personal data in a text.

Three steps, each cheap enough to let nearly all texts go: one small automaton (RE2) reads the text once for what every candidate contains; then a
second one, or a word that must stand in the text, says which rules have a candidate; only these look for places, and what they find is checked in
Python. All of it is linear in the text, whatever the text is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import re2

from sentinel.automata import automaton, options
from sentinel.privacy.contacts import CONTACTS
from sentinel.privacy.money import MONEY
from sentinel.privacy.national_ids import NATIONAL_IDS
from sentinel.privacy.rule import HINTS, Rule
from sentinel.privacy.secrets import SECRETS

RULES: tuple[Rule, ...] = (*SECRETS, *MONEY[:3], *CONTACTS[:2], *NATIONAL_IDS, *MONEY[3:], *CONTACTS[2:])
"""Where two overlap, the first wins: a password that looks like an address is a password, a card is not a phone number."""


class Finding(NamedTuple):
    """Personal data at `[start, end)`."""

    kind: str
    start: int
    end: int


class _Group(NamedTuple):
    """An automaton over the rules of one hint, and the rules by its numbers."""

    matcher: re2.Set
    rules: list[int]


class Scanner:
    """Compiled rules. One instance serves a process; compiling takes some milliseconds."""

    def __init__(self, rules: Sequence[Rule] = RULES) -> None:
        self._rules = [(rule.kind, re2.compile(rule.pattern.encode(), options()), rule.check) for rule in rules]
        self._hints = automaton(list(HINTS.values()))
        self._groups = [_group(hint, rules) for hint in HINTS]

    def find(self, text: str) -> list[Finding]:
        """Everything found, in order, without overlaps; offsets are characters."""
        data = text.encode("utf-8", "surrogatepass")
        found = self.find_bytes(data)
        if len(data) == len(text):
            return found
        return [Finding(kind, _characters(data[:start]), _characters(data[:end])) for kind, start, end in found]

    def find_bytes(self, data: bytes) -> list[Finding]:
        """As `find`, with offsets in bytes of UTF-8."""
        hints = self._hints.Match(data)
        if hints is None:
            return []
        found: list[Finding] = []
        taken = bytearray(len(data))
        for number in sorted(self._candidates(hints, data)):
            kind, pattern, check = self._rules[number]
            position = 0
            while (match := pattern.search(data, position)) is not None:
                start, end = match.span(1)
                span = (start, end) if check is None else check(data, start, end)
                # The next candidate may begin with what stood behind this one.
                position = max(end if span is None else span[1], position + 1)
                if span is not None and taken.find(1, *span) < 0:
                    found.append(Finding(kind, *span))
                    taken[span[0] : span[1]] = b"\x01" * (span[1] - span[0])
        found.sort(key=lambda finding: finding.start)
        return found

    def _candidates(self, hints: Sequence[int], data: bytes) -> Iterator[int]:
        """The numbers of the rules that may find something."""
        for hint in hints:
            matcher, rules = self._groups[hint]
            if len(rules) == 1:
                yield rules[0]
            else:
                yield from (rules[number] for number in matcher.Match(data) or ())


def _group(hint: str, rules: Sequence[Rule]) -> _Group:
    """A rule behind a word stands in the automaton with the word alone: the way from the word to the number would need a state for each step."""
    numbers = [number for number, rule in enumerate(rules) if rule.hint == hint]
    patterns = [rf"\b(?i:{'|'.join(map(re.escape, rule.words))})" if (rule := rules[number]).words else rule.pattern for number in numbers]
    return _Group(automaton(patterns), numbers)


def _characters(data: bytes) -> int:
    return len(data.decode("utf-8", "surrogatepass"))
