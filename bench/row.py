"""One measured row, as it goes into the table and the JSON."""

from __future__ import annotations

from typing import Any

import msgspec

from bench.figures import Outliers, Steady, interpolate, steady
from bench.sampling import Sampler


class Row(msgspec.Struct, omit_defaults=True):
    """What one row measured; rates in events per second, memory in bytes, CPU in seconds per million events."""

    name: str
    what: str
    command: str
    events: int = 0
    rate: float = 0.0
    wall_s: float = 0.0
    cpu_s_per_million: dict[str, float] = {}
    pss_bytes: dict[str, int] = {}
    checkpoints: int = 0
    checkpoints_failed: int = 0
    restarts: int = 0
    outliers: dict[str, Any] = {}
    details: dict[str, Any] = {}
    round: int = 1


def take_rates(row: Row, progress: list[tuple[float, int]], sampler: Sampler) -> None:
    """Steady rate, CPU inside the same window, and memory. A topic that was too small for a window leaves a note."""
    row.pss_bytes = sampler.pss
    try:
        window: Steady = steady(progress, row.events)
    except ValueError as error:
        row.details["no_steady_rate"] = str(error)
        return
    row.rate = window.rate
    row.details["steady_window_s"] = round(window.end_s - window.begin_s, 2)
    million = window.rate * (window.end_s - window.begin_s) / 1e6
    row.cpu_s_per_million = {
        name: round((interpolate(samples, window.end_s) - interpolate(samples, window.begin_s)) / million, 2)
        for name, samples in sampler.cpu.items()
    }


def outlier_fields(outliers: Outliers) -> dict[str, Any]:
    """For the row."""
    return {**outliers._asdict(), "same": outliers.same}
