"""What detectors of one key have in common is kept once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sentinel.detection.metrics import Model
from sentinel.detection.windowed import WindowedDetector


def share_windows(detectors: Iterable[Any]) -> None:
    """Let the detectors of one key that test the same quantity over the same length share one window: it is pushed, kept and stored once.

    To be called whenever the detectors of a key change; the window that has seen most is the one that stays.
    """
    groups: dict[tuple[Any, ...], list[WindowedDetector]] = {}
    for detector in detectors:
        # Percentiles are judged when a block is over, before the pane after it is pushed: they keep windows of their own.
        if isinstance(detector, WindowedDetector) and detector.spec.model is not Model.QUANTILE:
            window = detector.window
            key = (type(window), window.length_ms, detector.spec.extract, detector.spec.model is Model.RATE)
            groups.setdefault(key, []).append(detector)
    for group in groups.values():
        window = max(group, key=lambda detector: detector.window.end_ms).window
        for detector in group:
            detector.window, detector.owns_window = window, detector is group[0]
