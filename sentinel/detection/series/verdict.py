"""What a series detector says about one value."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol


class Verdict(NamedTuple):
    """`score` 0..1; `anomalous` whether the value counts as an anomaly; `expected` what the detector would have found usual."""

    score: float
    anomalous: bool
    expected: float


class SeriesDetector(Protocol):
    """A detector of one series. Values come in time order, one an evaluation."""

    def update(self, time_ms: int, value: float) -> Verdict: ...

    def to_state(self) -> list[Any]: ...

    def from_state(self, state: Any) -> None: ...
