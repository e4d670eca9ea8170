"""How far residuals usually go: what a forecast's error is measured with."""

from __future__ import annotations

import math
from typing import Any

WINSOR = 3.0
FEW = 8.0
SMALLEST = 1e-9
"""Spread below this share of the values' size is taken to be rounding."""
LARGEST_SIGMA = 1_000.0


class ResidualScale:
    """Standard deviation of residuals around 0 with exponential forgetting. An outlier counts at most as `WINSOR` deviations."""

    __slots__ = ("_fade", "_squares", "weight")

    def __init__(self, memory_rows: float) -> None:
        self._fade = 0.5 ** (1.0 / memory_rows)
        self._squares = self.weight = 0.0

    def sigma(self, residual: float, size: float) -> float:
        """The residual in standard deviations; 0 as long as there are too few. `size` is the magnitude of the values."""
        if self.weight < FEW:
            return 0.0
        # Few residuals tell little about the spread (Student's heavier tails).
        spread = math.sqrt(self._squares / self.weight * (1.0 + 4.0 / self.weight))
        spread = max(spread, SMALLEST * size)
        if spread == 0.0:
            return 0.0 if residual == 0.0 else math.copysign(LARGEST_SIGMA, residual)
        return max(-LARGEST_SIGMA, min(LARGEST_SIGMA, residual / spread))

    def limit(self) -> float:
        """What an outlier counts at most; 0 as long as nothing is known."""
        return WINSOR * math.sqrt(self._squares / self.weight) if self.weight >= FEW else 0.0

    def learn(self, residual: float) -> None:
        """Take one residual in."""
        limit = self.limit()
        if limit > 0.0:
            residual = max(-limit, min(limit, residual))
        self._squares = self._squares * self._fade + residual * residual
        self.weight = self.weight * self._fade + 1.0

    def to_state(self) -> list[Any]:
        return [self._squares, self.weight]

    def from_state(self, state: Any) -> None:
        self._squares, self.weight = state
