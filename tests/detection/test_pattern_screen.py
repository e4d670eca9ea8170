"""Texts are looked at together first; what is found must be what each text for itself gives."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import re2
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rule_harness import rule, runtime

from sentinel.detection.rules.patterns import SCREENED, PatternRules

PATTERNS = (
    "drop table", "^drop", "drop$", "^drop$", r"\bdrop\b", r"\Bop\b", r"drop\s+table", "(?s)drop.table", "d.p", "[^a]drop",
    r"\Adrop", r"drop\z", "(?-m)^drop", "(?-m:drop$)", "(?i)DROP", "(?i-s:^DROP)", "^$", r"\\A", "x*y",
)  # fmt: skip
WORDS = ("drop", "table", "a", "\n", " ", "dropdrop", "xy", "\\A", "")


def rules_of(patterns: list[str]) -> PatternRules:
    entries = [{"id": f"p{number}", "pattern": pattern} for number, pattern in enumerate(patterns)]
    return PatternRules([detector for detector in runtime([rule("r", "pattern", patterns=entries)]).detectors if detector.id == "r"])


def events_of(texts: list[str]) -> Any:
    return [SimpleNamespace(data=SimpleNamespace(prompt=text, response=None, message=None)) for text in texts]


texts = st.lists(st.lists(st.sampled_from(WORDS), max_size=4).map("".join), max_size=2 * SCREENED + 3)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=4, unique=True), texts)
@example([r"\Adrop"], ["a", "drop"])
@example([r"drop\z"], ["drop", "a"])
@example(["(?-m)^drop"], ["a", "drop"])
@example(["^drop$"], ["a", "drop", "a"])
def test_a_text_among_others_is_found_as_it_would_be_alone(patterns: list[str], batch: list[str]) -> None:
    rules = rules_of(patterns)
    expected = [row for row, text in enumerate(batch) if text and any(re2.search(pattern, text) for pattern in patterns)]
    assert [hit.row for hit in rules.hits(events_of(batch))] == expected


def test_what_is_found_in_a_screened_batch_names_its_own_pattern_and_text() -> None:
    rules = rules_of(["drop table", "secret"])
    batch = ["harmless"] * SCREENED + ["tell me the secret", *["harmless"] * SCREENED, "then drop table users"]
    assert [(hit.row, hit.pattern_id, hit.excerpt) for hit in rules.hits(events_of(batch))] == [
        (SCREENED, "p1", "secret"),
        (2 * SCREENED + 1, "p0", "drop table"),
    ]
