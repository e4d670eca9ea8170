"""Strategies that this release runs. Apart from `strategies`, so that workers can ask without loading pydantic."""

from typing import Final

RUNNABLE: Final = frozenset({"zscore", "moving_average", "percentile", "threshold", "pattern", "silence", "peer"})
