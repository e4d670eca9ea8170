"""Series detectors in the job's engine, from a configuration file on: found, told in words, and the same after a restore."""

from __future__ import annotations

import json

import numpy as np
import pytest
from synthetic import START_MS, pane_of

from sentinel.config.errors import ConfigError
from sentinel.config.load import parse_config
from sentinel.config.runtime import RuntimeConfig
from sentinel.detection.engine import ShardEngine
from sentinel.panes import Pane
from sentinel.timestamps import from_rfc3339

DETECTORS = [
    {"id": "latency-auto", "type": "statistical", "strategy": "auto", "config": {"metric": "latency_ms"}},
    {"id": "latency-robust", "type": "statistical", "strategy": "robust", "config": {"metric": "latency_ms"}},
    {"id": "rate-auto", "type": "statistical", "strategy": "auto", "config": {"metric": "calls_per_second"}},
    {"id": "tokens-stuck", "type": "statistical", "strategy": "flat_line", "config": {"metric": "tokens_per_request", "duration": "5m"}},
]


def config(detectors: list[dict[str, object]]) -> RuntimeConfig:
    text = json.dumps({"version": "v1", "detection": {"detectors": {"items": detectors}}})
    return RuntimeConfig.from_snapshot(1, parse_config(text, "test").config.to_snapshot())


@pytest.fixture(scope="module")
def seconds() -> list[Pane]:
    """25 minutes: latency trebles in the 20th minute, calls treble in the 22nd, tokens are the same for all calls from the 10th on."""
    rng, found = np.random.default_rng(7), []
    for second in range(1500):
        count = int(rng.poisson(12 if 1260 <= second < 1320 else 4)) + 1
        latency = rng.lognormal(np.log(1500.0 if 1140 <= second < 1200 else 500.0), 0.3, count)
        tokens = np.full(count, 500) if second >= 600 else rng.integers(300, 700, count)
        found.append(pane_of("shop", "gpt", START_MS + second * 1000, latency, tokens, np.full(count, 10_000_000), 0))
    return found


def run(seconds: list[Pane], settings: RuntimeConfig, cut: int | None = None) -> list[bytes]:
    engine, said = ShardEngine.from_state(None, settings), []
    for number, pane in enumerate(seconds):
        if number == cut:
            engine = ShardEngine.from_state(engine.to_state(), settings)
        said += engine.on_panes([pane], pane.end_ms - 1)
    return [anomaly.to_json() for anomaly in said]


def test_each_trouble_is_found_in_its_minute_and_told_in_words(seconds: list[Pane]) -> None:
    said = [json.loads(line) for line in run(seconds, config(DETECTORS))]
    found = {name: [entry for entry in said if entry["detector_id"] == name] for name in (item["id"] for item in DETECTORS)}
    starts = {
        name: [(from_rfc3339(entry["context"]["window_start"]) - START_MS) / 1000 for entry in entries] for name, entries in found.items()
    }
    assert set(starts["latency-robust"]) <= set(range(1130, 1200))
    # Known for so short a time, a series may raise one false alarm.
    assert len([start for start in starts["latency-auto"] if start < 1130]) <= 1
    in_trouble = [start for start in starts["latency-auto"] if start >= 1130]
    assert in_trouble[0] < 1150
    assert [start for start in starts["rate-auto"] if 1250 <= start < 1270]
    assert 890 <= starts["tokens-stuck"][0] < 920
    first = next(entry for entry, start in zip(found["latency-auto"], starts["latency-auto"], strict=True) if start >= 1130)
    assert first["metrics"]["observed_value"] > 2 * first["metrics"]["baseline_value"]
    assert "atency_ms was" in first["description"]
    assert "not what was forecast" in first["description"]
    assert first["context"]["sample_events"]


@pytest.mark.parametrize("cut", [301, 1145, 1263])
def test_a_restore_in_the_middle_changes_nothing(seconds: list[Pane], cut: int) -> None:
    assert run(seconds, config(DETECTORS), cut) == run(seconds, config(DETECTORS))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"strategy": "robbust"}, "did you mean robust?"),
        ({"strategy": "autto"}, "did you mean auto?"),
        ({"config": {"metric": "latency_ms", "treshold": 4}}, "did you mean threshold?"),
        ({"config": {"metric": "latencyms"}}, "did you mean latency_ms?"),
        ({"strategy": "arima"}, "fitted: expected a value, found nothing"),
        ({"strategy": "seasonal", "config": {"metric": "latency_ms", "timezone": "Europe/Nowhere"}}, "Europe/Nowhere"),
        ({"strategy": "seasonal", "config": {"metric": "latency_ms", "holidays": ["25 Dec"]}}, "holidays[0]"),
        ({"strategy": "auto", "config": {"metric": "total_tokens"}}, "expected for strategy auto a metric that windows have"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_nearest_name(change: dict[str, object], expected: str) -> None:
    with pytest.raises(ConfigError) as refused:
        config([{**DETECTORS[1], **change}])
    assert expected in str(refused.value)
