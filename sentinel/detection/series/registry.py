"""The series detectors by strategy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sentinel.detection.series.auto import AutoDetector
from sentinel.detection.series.verdict import SeriesDetector
from sentinel.detection.tuning import SENSITIVITY, Tuning

SERIES: Final[dict[str, Callable[[Tuning], SeriesDetector]]] = {
    "auto": lambda tuning: AutoDetector(sensitivity=SENSITIVITY[tuning.sensitivity]),
}
"""Strategy → a fresh detector with the parameters of a configuration."""
