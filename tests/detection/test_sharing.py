"""Detectors of one key share windows: nothing of that shows in what they find, nor in a state in the middle, nor when one of them throws."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from synthetic import START_MS, Trouble, applications, panes

from sentinel.anomaly import Anomaly
from sentinel.config.load import parse_config
from sentinel.config.runtime import RuntimeConfig
from sentinel.detection.detectors.zscore import ZScoreDetector
from sentinel.detection.engine import ShardEngine
from sentinel.detection.failures import FAILURE_DETECTOR

DETECTORS = [
    {"id": f"{strategy}-{metric}-{window}", "type": "statistical", "strategy": strategy, "config": {"metric": metric, "window": window}}
    for strategy in ("zscore", "moving_average", "percentile")
    for metric in ("latency_ms", "latency_p95_ms", "tokens_per_second", "error_rate")
    for window in ("2m", "5m")
]


def config(detectors: list[dict[str, Any]]) -> RuntimeConfig:
    text = msgspec.json.encode({"detectors": detectors}).decode()
    return RuntimeConfig.from_snapshot(1, parse_config(text, "c").config.to_snapshot())


@pytest.fixture(scope="module")
def traffic() -> list[Any]:
    rng = np.random.default_rng(17)
    (app,) = applications(1, rng, 6.0, 8.0)
    troubles = [
        Trouble(app.name, "latency", 180, 3.0, 40),
        Trouble(app.name, "tokens", 180, 5.0, 40),
        Trouble(app.name, "errors", 260, 0.3, 40),
    ]
    return [batch for _, batch, _ in panes(app, 320, rng, troubles)]


def run(engine: ShardEngine, traffic: list[Any], begin: int = 0, end: int = 10_000) -> list[Anomaly]:
    return [
        a for second, batch in enumerate(traffic) if begin <= second < end for a in engine.on_panes(batch, START_MS + second * 1000 + 999)
    ]


def by_detector(found: list[Anomaly]) -> dict[str, list[bytes]]:
    result: dict[str, list[bytes]] = {}
    for anomaly in found:
        result.setdefault(anomaly.detector_id, []).append(anomaly.to_json())
    return result


def test_together_they_find_what_each_finds_alone(traffic: list[Any]) -> None:
    together = by_detector(run(ShardEngine.from_state(None, config(DETECTORS)), traffic))
    alone = {d["id"]: by_detector(run(ShardEngine.from_state(None, config([d])), traffic)).get(d["id"]) for d in DETECTORS}
    assert together == {name: found for name, found in alone.items() if found}
    assert len(together) > 12


def test_a_state_in_the_middle_of_trouble_changes_nothing(traffic: list[Any]) -> None:
    settings = config(DETECTORS)
    whole = run(ShardEngine.from_state(None, settings), traffic)
    first = ShardEngine.from_state(None, settings)
    found = run(first, traffic, end=187)
    found += run(ShardEngine.from_state(first.to_state(), settings), traffic, begin=187)
    assert by_detector(found) == by_detector(whole)


def test_the_state_holds_a_shared_window_once(traffic: list[Any]) -> None:
    def size(detectors: list[dict[str, Any]]) -> int:
        engine = ShardEngine.from_state(None, config(detectors))
        run(engine, traffic, end=120)
        return len(engine.to_state())

    windows = [{**DETECTORS[0], "id": f"z-{n}", "config": {"metric": "latency_ms", "window": f"{n + 2}m"}} for n in range(10)]
    one, ten = size(windows[:1]), size(windows)
    assert ten < 6 * one


def test_one_that_throws_takes_no_window_from_the_others(traffic: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    settings = config(DETECTORS)
    expected = by_detector(run(ShardEngine.from_state(None, settings), traffic))
    engine = ShardEngine.from_state(None, settings)
    found = run(engine, traffic, end=150)
    turn_block = ZScoreDetector.turn_block

    def broken(self: ZScoreDetector, *when: Any) -> Any:
        if self.spec.name == "latency_ms" and self.tuning.window_s == 120.0:
            raise RuntimeError("no")
        return turn_block(self, *when)

    with monkeypatch.context() as patched:
        patched.setattr(ZScoreDetector, "turn_block", broken)
        found += run(engine, traffic, 150, 151)
    assert engine.detector_errors == {"zscore-latency_ms-2m": 2}, "at its model's keys"
    engine = ShardEngine.from_state(engine.to_state(), settings)
    found += run(engine, traffic, begin=151)
    others = {"zscore-latency_ms-2m", FAILURE_DETECTOR}
    assert {name: said for name, said in by_detector(found).items() if name not in others} == {
        name: said for name, said in expected.items() if name not in others
    }
