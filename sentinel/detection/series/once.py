"""Say a trouble once: what is no stronger than what was said lately is no news."""

from __future__ import annotations

from collections import deque
from typing import Any

REST_ROWS = 150
QUIET = 0.499
"""Factor on a score that does not count: below any alarm, also when it is rounded up."""


class SayOnce:
    """Remembers the strengths that were said within the last `rest_rows` rows, the strongest first."""

    __slots__ = ("_row", "_said", "rest_rows")

    def __init__(self, rest_rows: int = REST_ROWS) -> None:
        self.rest_rows = rest_rows
        self._row = 0
        self._said: deque[tuple[int, float]] = deque()

    def is_news(self, strength: float) -> bool:
        """Whether the strength of the next row exceeds everything that was said within the rest; if so it is said now."""
        said = self._said
        self._row += 1
        while said and said[0][0] < self._row - self.rest_rows:
            said.popleft()
        if said and strength <= said[0][1]:
            return False
        said.clear()
        said.append((self._row, strength))
        return True

    def to_state(self) -> list[Any]:
        return [self._row, [list(entry) for entry in self._said]]

    def from_state(self, state: Any) -> None:
        self._row, said = state
        self._said = deque((row, strength) for row, strength in said)
