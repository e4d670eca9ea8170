"""Why a text was scored as it was: the words that add most to its score, with their places, and what was hidden."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

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
AT_ONCE: Final = 200
"""Texts whose words are weighed together: their values fit into the cache of a core."""

Spans = list[tuple[int, int, float]]
"""Parts of a window: first word, the one behind the last, what they add to the logit."""


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


class _Window(NamedTuple):
    """The words of a text that are looked at again."""

    spans: list[tuple[int, int]]
    first: int
    end: int
    """The highest-scored window is `spans[first:end]`, the others stand around it."""


def reasons_of(classifier: InjectionClassifier, originals: Sequence[str], found: Sequence[Scored]) -> list[list[Reason]]:
    """For each text at most `MAX_REASONS` spans of its highest-scored window, the weightiest first. Many texts at once cost a fraction of one by one."""
    result: list[list[Reason]] = []
    for begin in range(0, len(found), AT_ONCE):
        part = found[begin : begin + AT_ONCE]
        windows = [_window(scored) for scored in part]
        words = [[scored.text[start:stop] for start, stop in window.spans] for scored, window in zip(part, windows, strict=True)]
        shares = classifier.word_shares(words, [window.first for window in windows], [window.end for window in windows])
        result += map(_reasons, originals[begin : begin + AT_ONCE], part, windows, heaviest(shares))
    return result


def _window(found: Scored) -> _Window:
    spans = word_spans(found.text)
    first, end = found.first_word, min(found.end_word, len(spans))
    lowest = max(0, first - CONTEXT)
    return _Window(spans[lowest : end + CONTEXT], first - lowest, end - lowest)


def _reasons(original: str, found: Scored, window: _Window, heaviest_spans: Spans) -> list[Reason]:
    hidden = found.view.kind if found.view is not None else "invisible characters" if found.invisible else ""
    places = _visible_places(original) if hidden and found.view is None else []
    result: list[Reason] = []
    for begin, stop, weight in heaviest_spans:
        start, finish = window.spans[window.first + begin][0], window.spans[window.first + stop - 1][1]
        shown = _readable(found.text[start:finish])
        if found.view is not None:
            start, finish = found.view.start, found.view.end
        elif found.invisible:
            start, finish = places[start], places[finish - 1] + 1
        result.append(Reason(found.category, shown, start, finish, round(weight, 3), hidden))
    return result


def heaviest(shares: Sequence[FloatArray]) -> list[Spans]:
    """For each text up to `MAX_REASONS` separate spans (first, end, weight) with the highest sums of what lies above its mean, none longer than
    `LONGEST_SPAN`."""
    sizes = np.array([len(own) for own in shares])
    width = int(sizes.max(initial=0)) + 1
    # One row a text: its words, then nothing.
    inside = np.arange(width) < sizes[:, None]
    padded = np.zeros(inside.shape)
    padded[inside] = np.concatenate(shares) if len(shares) else 0.0
    usual = np.where(sizes > 3, np.maximum(padded.sum(axis=1) / np.maximum(sizes, 1), 0.0), 0.0)
    above = np.cumsum(np.where(inside, padded - usual[:, None], 0.0), axis=1)
    weights = np.cumsum(padded, axis=1)
    starts = np.arange(width)
    ends = starts[:, None] + np.arange(1, LONGEST_SPAN + 1)
    totals = np.where(ends[None] <= sizes[:, None, None], above[:, np.minimum(ends, width) - 1] - _before(above)[:, :, None], -np.inf)
    found: list[Spans] = [[] for _ in shares]
    everyone = np.arange(len(sizes))
    for _ in range(MAX_REASONS):
        best = totals.reshape(len(sizes), -1).argmax(axis=1)
        begin, length = np.divmod(best, LONGEST_SPAN)
        stop = begin + length + 1
        speaks = totals[everyone, begin, length] > 1e-9
        weight = weights[everyone, stop - 1] - _before(weights)[everyone, begin]
        for number in np.flatnonzero(speaks).tolist():
            found[number].append((int(begin[number]), int(stop[number]), float(weight[number])))
        taken = (starts[None, :, None] < stop[:, None, None] + 1) & (ends[None] > begin[:, None, None] - 1)
        totals[taken] = -np.inf
    # A reason that is small beside the first is none.
    return [[span for span in spans if span[2] >= 0.2 * spans[0][2]] for spans in found]


def _before(sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Sums up to the word before."""
    return np.concatenate((np.zeros((len(sums), 1)), sums[:, :-1]), axis=1)


def _visible_places(original: str) -> list[int]:
    return [place for place, letter in enumerate(original) if INVISIBLE.match(letter) is None]


def _readable(text: str) -> str:
    """Control characters of an attacker's text as spaces: it goes into databases, terminals and mails."""
    if text.isprintable():
        return text[:SHOWN_CHARACTERS]
    return "".join(letter if letter.isprintable() else " " for letter in text)[:SHOWN_CHARACTERS]


class Verdict(msgspec.Struct, frozen=True):
    """Score of a text in [0, 1], whether it reaches the threshold, and the reasons when it does."""

    score: float
    is_injection: bool
    reasons: list[Reason]


def judge(classifier: InjectionClassifier, texts: Sequence[str], threshold: float) -> list[Verdict]:
    """Verdict of each text."""
    scored = classifier.best(texts)
    flagged = [number for number, found in enumerate(scored) if found.score >= threshold]
    reasons = dict(zip(flagged, reasons_of(classifier, [texts[n] for n in flagged], [scored[n] for n in flagged]), strict=True))
    return [Verdict(found.score, number in reasons, reasons.get(number, [])) for number, found in enumerate(scored)]
