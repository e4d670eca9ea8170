"""Python's cycle collector and millions of detector states.

Detectors make no cycles, but their states are what the collector walks over whenever enough new objects have come: with 100 detectors on 400 keys that
was a quarter of the time of a pane, and three quarters of the time of writing a state.
"""

from __future__ import annotations

import gc

THRESHOLDS = (2_000, 10, 1_000)
"""Allocations before a young collection, young ones before a middle one, middle ones before a full one."""


def collect_seldom() -> None:
    """Keep what is loaded now out of the collector's sight, and let it look rarely. For a process that makes few cycles, at its start."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
