"""Detection quality on seeded synthetic traffic, with the built-in configuration and no more than 2 minutes of warm-up."""

from __future__ import annotations

import numpy as np
import pytest
from quality import plan, run

from sentinel.config.load import default_config
from sentinel.config.runtime import RuntimeConfig

DEMO = {"latency": 3.0, "errors": 0.2, "cost": 4.0, "tokens": 4.0, "user": 15.0, "silence": 0.0}
HALF = {"latency": 2.0, "errors": 0.1, "cost": 2.0, "tokens": 2.0}


@pytest.fixture(scope="module")
def config() -> RuntimeConfig:
    return RuntimeConfig.from_snapshot(1, default_config().config.to_snapshot())


@pytest.mark.parametrize("seed", range(10))
def test_all_demo_troubles_are_found_and_nothing_else(config: RuntimeConfig, seed: int) -> None:
    troubles = plan(np.random.default_rng(seed), 10, DEMO, begin_s=125, spacing_s=15)
    outcome = run(config, seed, troubles, 320)
    assert not outcome.missed
    assert not outcome.false_alarms
    assert max(outcome.found.values()) <= 50


@pytest.mark.parametrize("seed", [100, 101])
def test_twenty_minutes_of_calm_raise_nothing(config: RuntimeConfig, seed: int) -> None:
    assert run(config, seed, [], 1330).false_alarms == []


def test_half_the_size_is_mostly_found(config: RuntimeConfig) -> None:
    outcomes = [run(config, seed, plan(np.random.default_rng(seed), 10, HALF, spacing_s=15), 260) for seed in range(20, 25)]
    found = sum(len(outcome.found) for outcome in outcomes)
    assert found >= 0.8 * len(HALF) * len(outcomes)
    assert not [alarm for outcome in outcomes for alarm in outcome.false_alarms]
