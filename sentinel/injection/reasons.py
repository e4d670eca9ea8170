"""Why a text was scored as it was: the words that add most to its score, with their places, and what was hidden."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from sentinel.injection.arrays import FloatArray
from sentinel.injection.classifier import InjectionClassifier, Scored
from sentinel.injection.obfuscation import INVISIBLE
from sentinel.injection.words import word_spans

MAX_REASONS: Final = 3
LONGEST_SPAN: Final = 14
"""Words of one reason."""
SHOWN_CHARACTERS: Final = 160
CONTEXT: Final = 60
"""Words on either side of the highest window that are looked at again."""


class Reason(msgspec.Struct, frozen=True):
    """A part of a text that speaks for an attack.

    Attributes:
        category: kind of attack that the wording is nearest to.
        text: the words; of the decoded text when the part was hidden.
        start, end: characters of the original text; of the whole hidden part when there is one.
        weight: what the words add to the logit of the score.
        hidden: how the part was hidden (`base64`, `leetspeak`, …), empty when it stands there in plain.
    """

    category: str
    text: str
    start: int
    end: int
    weight: float
    hidden: str = ""


def reasons_of(classifier: InjectionClassifier, original: str, found: Scored) -> list[Reason]:
    """At most `MAX_REASONS` spans of the highest-scored window, the weightiest first."""
    spans = word_spans(found.text)
    if not spans:
        return []
    first, end = found.first_word, min(found.end_word, len(spans))
    lowest = max(0, first - CONTEXT)
    spans = spans[lowest : end + CONTEXT]
    words = [found.text[begin:stop] for begin, stop in spans]
    first, end = first - lowest, end - lowest
    shares = classifier.word_shares(words, first, end)
    places = None
    result: list[Reason] = []
    for begin, stop, weight in heaviest(shares):
        start, finish = spans[first + begin][0], spans[first + stop - 1][1]
        shown = _readable(found.text[start:finish])
        if found.view is not None:
            start, finish = found.view.start, found.view.end
        elif found.invisible:
            places = places if places is not None else _visible_places(original)
            start, finish = places[start], places[finish - 1] + 1
        hidden = found.view.kind if found.view is not None else "invisible characters" if found.invisible else ""
        result.append(Reason(found.category, shown, start, finish, round(weight, 3), hidden))
    return result


def heaviest(shares: FloatArray) -> list[tuple[int, int, float]]:
    """Up to `MAX_REASONS` separate spans (first, end, weight) with the highest sums of what lies above the mean, none longer than `LONGEST_SPAN`."""
    values = shares - max(float(np.mean(shares)), 0.0) if len(shares) > 3 else shares
    sums = np.concatenate(([0.0], np.cumsum(values, dtype=np.float64)))
    starts = np.arange(len(values))[:, None]
    ends = starts + np.arange(1, LONGEST_SPAN + 1)
    totals = np.where(ends <= len(values), sums[np.minimum(ends, len(values))] - sums[starts], -np.inf)
    found: list[tuple[int, int, float]] = []
    for _ in range(MAX_REASONS):
        begin, length = np.unravel_index(int(np.argmax(totals)), totals.shape)
        if totals[begin, length] <= 1e-9:
            break
        stop = int(begin + length + 1)
        found.append((int(begin), stop, float(shares[begin:stop].sum())))
        totals[(starts < stop + 1) & (ends > begin - 1)] = -np.inf
    # A reason that is small beside the first is none.
    return [span for span in found if span[2] >= 0.2 * found[0][2]]


def _visible_places(original: str) -> list[int]:
    return [place for place, letter in enumerate(original) if INVISIBLE.match(letter) is None]


def _readable(text: str) -> str:
    """Control characters of an attacker's text as spaces: it goes into databases, terminals and mails."""
    return "".join(letter if letter.isprintable() else " " for letter in text)[:SHOWN_CHARACTERS]


class Verdict(msgspec.Struct, frozen=True):
    """Score of a text in [0, 1], whether it reaches the threshold, and the reasons when it does."""

    score: float
    is_injection: bool
    reasons: list[Reason]


def judge(classifier: InjectionClassifier, texts: Sequence[str], threshold: float) -> list[Verdict]:
    """Verdict of each text."""
    return [
        Verdict(found.score, found.score >= threshold, reasons_of(classifier, text, found) if found.score >= threshold else [])
        for text, found in zip(texts, classifier.best(texts), strict=True)
    ]
