"""The shard engine: determinism, state, configuration changes, isolation of faults, bounds."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import numpy as np
import pytest
from synthetic import START_MS, Trouble, applications, pane_of, panes

from sentinel.config.load import default_config
from sentinel.config.runtime import DetectorAction, DetectorConfig, RuntimeConfig, Scope
from sentinel.detection.detectors.zscore import ZScoreDetector
from sentinel.detection.engine import ShardEngine
from sentinel.detection.state import StateError
from sentinel.panes import Pane, UserPane

BASE = RuntimeConfig.from_snapshot(1, default_config().config.to_snapshot())


def detector(name: str, strategy: str, metric: str | None, **params: Any) -> DetectorConfig:
    return DetectorConfig(id=name, type="statistical", strategy=strategy, level="pane", metric=metric, params=params)


CONFIG = msgspec.structs.replace(
    BASE,
    detectors=(
        *BASE.detectors,
        detector("ewma", "moving_average", "latency_ms"),
        detector("ewma-rate", "moving_average", "tokens_per_second"),
        detector("p95", "percentile", "latency_p95_ms"),
        detector("p99", "percentile", "cost_per_request"),
        detector("p95-limit", "threshold", "latency_p95_ms", value=100.0, window_s=60.0),
        detector("rate-limit", "threshold", "calls_per_second", value=0.5),
    ),
)


@pytest.fixture(scope="module")
def traffic() -> list[list[Pane | UserPane]]:
    rng = np.random.default_rng(5)
    kinds = [("latency", 4.0), ("errors", 0.3), ("tokens", 5.0), ("silence", 0.0), ("user", 15.0)]
    troubles = [Trouble(f"app-{n:02d}", kind, 170, size) for n, (kind, size) in enumerate(kinds)]
    seconds: list[list[Pane | UserPane]] = [[] for _ in range(300)]
    for app in applications(5, rng, 3.0, 6.0):
        for second, found, user_pane in panes(app, 300, rng, troubles):
            seconds[second] += [*found, *([user_pane] if user_pane else [])]
    return seconds


def copy(pane: Pane | UserPane) -> Pane | UserPane:
    return msgspec.structs.replace(pane)


def straight(traffic: list[list[Pane | UserPane]], config: RuntimeConfig = CONFIG) -> list[bytes]:
    engine = ShardEngine.from_state(None, config)
    lines: list[bytes] = []
    for second, batch in enumerate(traffic):
        lines += [anomaly.to_json() for anomaly in engine.on_panes([copy(pane) for pane in batch], START_MS + second * 1000 + 999)]
    return sorted(lines)


@pytest.mark.parametrize("seed", range(4))
def test_neither_interleaving_nor_watermark_steps_nor_checkpoints_show(traffic: list[list[Pane | UserPane]], seed: int) -> None:
    rng = random.Random(seed)
    engine = ShardEngine.from_state(None, CONFIG)
    lines: list[bytes] = []
    second = 0
    while second < len(traffic):
        steps = rng.choice([1, 1, 2, 5, 17])
        batch = [copy(pane) for part in traffic[second : second + steps] for pane in part]
        second = min(len(traffic), second + steps)
        rng.shuffle(batch)
        cut = rng.randint(0, len(batch))
        behind = START_MS + (second - steps) * 1000 - 1
        lines += [a.to_json() for a in engine.on_panes(batch[:cut], behind)]
        engine = ShardEngine.from_state(engine.to_state(), CONFIG)
        if rng.random() < 0.5:
            lines += [a.to_json() for a in engine.on_panes(batch[cut:], START_MS + second * 1000 - 1)]
        else:
            lines += [a.to_json() for a in engine.on_panes(batch[cut:], behind)]
            engine = ShardEngine.from_state(engine.to_state(), CONFIG)
            lines += [a.to_json() for a in engine.on_time(START_MS + second * 1000 - 1)]
    expected = straight(traffic)
    assert sorted(lines) == expected
    detectors = {msgspec.json.decode(line)["detector_id"] for line in expected}
    assert {"latency-zscore", "error-rate-zscore", "tokens-zscore", "application-silence", "user-misuse", "ewma", "p95"} <= detectors
    assert {"rate-limit", "p95-limit"} <= detectors


def test_timers_bring_what_panes_left_waiting(traffic: list[list[Pane | UserPane]]) -> None:
    engine = ShardEngine.from_state(None, CONFIG)
    lines: list[bytes] = []
    for second, batch in enumerate(traffic):
        lines += [a.to_json() for a in engine.on_panes([copy(pane) for pane in batch], START_MS + second * 1000 - 1)]
        while (timer := engine.next_timer()) is not None and timer <= START_MS + second * 1000 + 999:
            lines += [a.to_json() for a in engine.on_time(timer)]
    assert sorted(lines) == straight(traffic)


def test_anomaly_fields_explain_themselves(traffic: list[list[Pane | UserPane]]) -> None:
    records = [msgspec.json.decode(line) for line in straight(traffic)]
    latency = next(record for record in records if record["detector_id"] == "latency-zscore")
    assert latency["config_version"] == 1
    assert latency["affected_entity"]["type"] == "model"
    assert 0.8 < latency["score"] <= 1.0
    figures = latency["metrics"]
    assert figures["observed_value"] > figures["expected_high"] > figures["baseline_value"] > 0
    assert figures["deviation"] >= figures["threshold"] == 5.0
    assert latency["context"]["sample_events"]
    assert "latency_ms of app-00/" in latency["description"]
    assert "calls); expected" in latency["description"]
    user = next(record for record in records if record["detector_id"] == "user-misuse")
    assert user["user_id"] == "user-0"
    assert user["affected_entity"] == {"type": "user", "id": "user-0", "name": "user-0"}


def test_unchanged_detectors_keep_their_state_and_carry_the_new_version(traffic: list[list[Pane | UserPane]]) -> None:
    engine = ShardEngine.from_state(None, CONFIG)
    for second, batch in enumerate(traffic[:160]):
        engine.on_panes([copy(pane) for pane in batch], START_MS + second * 1000 + 999)
    changed = tuple(
        msgspec.structs.replace(d, params={**d.params, "threshold": 6.0}) if d.id == "error-rate-zscore" else d for d in CONFIG.detectors
    )
    engine.apply_config(msgspec.structs.replace(CONFIG, version=2, detectors=changed))
    found = []
    for second, batch in enumerate(traffic[160:210], 160):
        found += engine.on_panes([copy(pane) for pane in batch], START_MS + second * 1000 + 999)
    assert {anomaly.config_version for anomaly in found} == {2}
    names = {anomaly.detector_id for anomaly in found}
    assert "latency-zscore" in names
    assert "error-rate-zscore" not in names, "a changed detector must warm up again"


def test_scope_and_severity_follow_the_configuration(traffic: list[list[Pane | UserPane]]) -> None:
    scoped = DetectorConfig(
        id="only-claude",
        type="statistical",
        strategy="zscore",
        level="pane",
        metric="latency_ms",
        params={},
        scope=Scope(applications=("app-0[0-2]", "app-00"), models=("claude*",)),
        actions=(DetectorAction(alert="x", severity="info"),),
    )
    records = [msgspec.json.decode(line) for line in straight(traffic, msgspec.structs.replace(BASE, detectors=(scoped,)))]
    assert records
    assert {(record["application_id"], record["model"], record["severity"]) for record in records} == {("app-00", "claude-3", "info")}


def test_a_failing_detector_is_isolated_counted_and_restarted(
    traffic: list[list[Pane | UserPane]], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = ZScoreDetector.on_pane

    def broken(self: ZScoreDetector, pane: Pane) -> Any:
        if self.spec.name == "cost_per_request":
            raise ZeroDivisionError("injected")
        return original(self, pane)

    monkeypatch.setattr(ZScoreDetector, "on_pane", broken)
    engine = ShardEngine.from_state(None, CONFIG)
    names = set()
    for second, batch in enumerate(traffic):
        names |= {a.detector_id for a in engine.on_panes([copy(pane) for pane in batch], START_MS + second * 1000 + 999)}
    assert engine.detector_errors.keys() == {"cost-zscore"}
    assert engine.detector_errors["cost-zscore"] > 1000
    assert {"latency-zscore", "error-rate-zscore", "tokens-zscore"} <= names


def test_a_detector_that_cannot_be_built_is_named_and_left_out() -> None:
    engine = ShardEngine.from_state(None, RuntimeConfig(version=1, detectors=(detector("odd", "zscore", "no_such_metric"),)))
    assert "no_such_metric" in engine.detectors_refused["odd"]
    assert "latency_ms" in engine.detectors_refused["odd"]


def test_states_of_other_versions_are_refused_in_words() -> None:
    with pytest.raises(StateError, match=r"version 99 found, this release reads version 1"):
        ShardEngine.from_state(msgspec.msgpack.encode([99, 0, []]), CONFIG)
    with pytest.raises(StateError, match="msgpack"):
        ShardEngine.from_state(b"\xc1", CONFIG)


def test_keys_are_bounded_and_idle_ones_evicted() -> None:
    engine = ShardEngine.from_state(None, CONFIG, max_keys=10)
    one = np.array([100.0])
    batch = [pane_of(f"app-{n}", "m", START_MS, one, one.astype(int), one.astype(int), 0) for n in range(8)]
    engine.on_panes(batch, START_MS + 999)
    assert engine.keys <= 10
    assert engine.keys_refused > 0
    engine.on_time(START_MS + 25 * 3_600_000)
    assert engine.keys == 0
    assert engine.keys_evicted > 0
