"""What somebody needs who writes a detector of his own: a base class, and what it says when it finds something.

See docs/writing-a-detector.md.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import msgspec

from sentinel.panes import Pane

__all__ = ["CustomDetector", "Finding", "Pane"]


class Finding(msgspec.Struct, kw_only=True):
    """One anomalous second, in the unit that the detector thinks in. `score` is 0 to 1; `sentence` says what and why, for people.

    What is not known stays NaN and does not appear in the anomaly.
    """

    score: float
    sentence: str
    observed: float = float("nan")
    expected: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    samples: list[str] = []


class CustomDetector(ABC):
    """A detector at one key: an application, or a model of it. Many live side by side, so what it remembers belongs to `self`.

    The product does the rest: `consecutive` findings in a row, repeats, ids, severity, state, isolation of what throws.
    """

    def __init__(self, params: Mapping[str, Any]) -> None:
        """Take `config.params`; raise ValueError for what is wrong, and the configuration is refused with its text."""
        self.params = dict(params)

    @abstractmethod
    def judge(self, pane: Pane) -> Finding | None:
        """Take one second with traffic, in event-time order. The pane belongs to others too: read it, do not change it."""

    def state(self) -> Any:
        """What the next second needs, of plain numbers, texts, lists and mappings; by default all attributes but `params`."""
        return {name: value for name, value in vars(self).items() if name != "params"}

    def restore(self, state: Any) -> None:
        """Take over what `state` gave."""
        vars(self).update(state)
