"""What a series detector says about one value."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol


class Verdict(NamedTuple):
    """`score` 0..1; `anomalous` whether the value counts as an anomaly; `expected` what the detector would have found usual."""

    score: float
    anomalous: bool
    expected: float


def strength_score(strength: float) -> float:
    """Score 0..1 of a strength, of which 1 is where an alarm begins: s² / (1 + s²), so 0.5 there, 0.9 at 3, 0.99 at 10."""
    return round(1.0 - 1.0 / (1.0 + strength * strength), 6)


class SeriesDetector(Protocol):
    """A detector of one series. Values come in time order, one an evaluation."""

    def update(self, time_ms: int, value: float) -> Verdict: ...

    def to_state(self) -> list[Any]: ...

    def from_state(self, state: Any) -> None: ...
