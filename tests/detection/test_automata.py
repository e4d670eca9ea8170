"""Many patterns in one automaton: it says which match, and never "nothing" because it is too small."""

from __future__ import annotations

import pytest
import re2

from sentinel import automata
from sentinel.automata import automaton
from sentinel.privacy.scanner import Scanner


def test_it_says_which_patterns_match() -> None:
    matcher = automaton(["secret", r"\bkey\b", "^the"])
    assert sorted(matcher.Match("the secret")) == [0, 2]
    assert not matcher.Match("a monkey")


def test_patterns_that_do_not_fit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    patterns = [rf"word{number}\s+.{{0,40}}end{number}" for number in range(200)]
    automaton(patterns)
    monkeypatch.setattr(automata, "_BYTES", 1 << 19)
    with pytest.raises((RuntimeError, re2.error)):
        automaton(patterns)


@pytest.mark.parametrize("text", ["mail jane@example.org\nprobe", "\0probe 4111 1111 1111 1111", "\nprobe"])
def test_no_text_is_taken_for_the_trial_of_an_automaton(text: str) -> None:
    assert [finding.kind for finding in Scanner().find(text)] == [
        kind for kind in ("email", "credit_card") if {"email": "@", "credit_card": "4111"}[kind] in text
    ]
