"""What `sensitivity` means, measured: low, medium and high on the same seeded traffic. Run with `-s` to see the table of docs/anomalies.md."""

from __future__ import annotations

import statistics
from typing import Any, NamedTuple

import numpy as np
import pytest
from quality import plan, run

from sentinel.config.load import parse_config
from sentinel.config.runtime import RuntimeConfig

SEEDS = range(300, 306)
SIZES = {"×1.5": {"latency": 1.5, "cost": 1.5, "tokens": 1.5}, "×2": {"latency": 2.0, "cost": 2.0, "tokens": 2.0}}
METRICS = {"latency-zscore": "latency_ms", "cost-zscore": "cost_per_request", "tokens-zscore": "tokens_per_request"}


class Measured(NamedTuple):
    found: dict[str, int]
    delays_s: dict[str, list[float]]
    troubles: int
    false_alarms: int


def config(sensitivity: str) -> RuntimeConfig:
    detectors: list[Any] = [
        {"id": name, "type": "statistical", "strategy": "zscore", "config": {"metric": metric, "sensitivity": sensitivity}}
        for name, metric in METRICS.items()
    ]
    return RuntimeConfig.from_snapshot(1, parse_config(str({"detectors": detectors}), "c.yaml").config.to_snapshot())


def measure(sensitivity: str) -> Measured:
    settings, found, delays, alarms = config(sensitivity), dict.fromkeys(SIZES, 0), {size: [] for size in SIZES}, 0
    for seed in SEEDS:
        for size, kinds in SIZES.items():
            troubles = plan(np.random.default_rng(seed), 4, kinds, begin_s=130, spacing_s=20)
            outcome = run(settings, seed, troubles, 270, count=4, rates=(4.0, 8.0))
            found[size] += len(outcome.found)
            delays[size] += outcome.found.values()
            alarms += len(outcome.false_alarms)
    return Measured(found, delays, len(SEEDS) * len(METRICS), alarms)


@pytest.fixture(scope="module")
def measured() -> dict[str, Measured]:
    return {sensitivity: measure(sensitivity) for sensitivity in ("low", "medium", "high")}


def test_higher_finds_more_and_sooner(measured: dict[str, Measured]) -> None:
    for sensitivity, result in measured.items():
        parts = [
            f"{size} found {result.found[size]}/{result.troubles}, median delay {statistics.median(result.delays_s[size] or [float('nan')]):.0f} s"
            for size in SIZES
        ]
        print(f"{sensitivity}: {'; '.join(parts)}; {result.false_alarms} false alarms")
    low, medium, high = measured.values()
    for size in SIZES:
        assert low.found[size] <= medium.found[size] <= high.found[size]
    assert low.found["×1.5"] < high.found["×1.5"]
    assert statistics.median(high.delays_s["×2"]) <= statistics.median(low.delays_s["×2"])
    assert low.false_alarms <= high.false_alarms <= 2
