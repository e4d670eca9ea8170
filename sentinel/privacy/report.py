"""Precision and recall of what is found, against labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sentinel.privacy.scanner import Finding


@dataclass
class Score:
    """Counts of one kind: labelled values that were found whole, those that were not, and findings where there is no value of the kind."""

    found: int = 0
    missed: int = 0
    wrong: int = 0

    @property
    def precision(self) -> float:
        """Right ones of the findings; 1 when nothing was found."""
        return self.found / (self.found + self.wrong) if self.found + self.wrong else 1.0

    @property
    def recall(self) -> float:
        """Found ones of the labelled values; 1 when nothing was labelled."""
        return self.found / (self.found + self.missed) if self.found + self.missed else 1.0


class Scores:
    """Scores by kind. A labelled value counts as found when one finding of its kind covers it."""

    def __init__(self) -> None:
        self.by_kind: dict[str, Score] = {}

    def add(self, found: Sequence[Finding], expected: Iterable[Finding]) -> None:
        """One text."""
        labels = list(expected)
        for label in labels:
            score = self.by_kind.setdefault(label.kind, Score())
            if any(one.kind == label.kind and one.start <= label.start and one.end >= label.end for one in found):
                score.found += 1
            else:
                score.missed += 1
        for one in found:
            if not any(label.kind == one.kind and label.start < one.end and one.start < label.end for label in labels):
                self.by_kind.setdefault(one.kind, Score()).wrong += 1

    def total(self) -> Score:
        """All kinds together."""
        scores = self.by_kind.values()
        return Score(sum(s.found for s in scores), sum(s.missed for s in scores), sum(s.wrong for s in scores))
