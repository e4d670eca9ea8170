"""Trained detectors in the engine of the job: they find trouble, change their model while they run, and never stop anything."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from sentinel.anomaly import Anomaly
from sentinel.config.load import parse_config
from sentinel.config.runtime import RuntimeConfig
from sentinel.detection.engine import ShardEngine
from sentinel.models import library as libraries
from sentinel.models.artifact import Card
from sentinel.models.store import ModelStore
from sentinel.panes import Pane
from services.config_service.topic import record_value
from tests.detection.synthetic import START_MS, Application, Trouble, pane_of, panes

Trained = dict[str, tuple[Card, bytes]]
KINDS = ("isolation_forest", "kmeans", "dbscan", "autoencoder", "lstm")
SECONDS = 780
LATENCY = ("latency_ms", "latency_p95_ms")


def record(store: Path, kinds: tuple[str, ...] = KINDS, extra: str = "") -> bytes:
    items = ", ".join(f"{{id: {kind}-pane, type: ml, strategy: {kind}, config: {{model: {kind}{extra}}}}}" for kind in kinds)
    text = f"detection: {{mlModels: {{path: {store}}}, detectors: {{items: [{items}]}}}}"
    return record_value(3, parse_config(text, "c.yaml").config.to_snapshot())


@pytest.fixture(autouse=True)
def own_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "_libraries", {})
    monkeypatch.setattr(libraries, "LEAST_S", 0.0)


@pytest.fixture
def store(tmp_path: Path, trained: Trained) -> ModelStore:
    store = ModelStore(str(tmp_path))
    for kind, (card, packed) in trained.items():
        store.add(card, packed)
        store.promote(kind, 1)
    return store


def run(
    engine: ShardEngine, app: Application, troubles: list[Trouble], seconds: int = SECONDS, seed: int = 9, begin: int = 0
) -> list[Anomaly]:
    found = []
    for second, batch, _ in panes(app, seconds, np.random.default_rng(seed), troubles):
        if second >= begin:
            found += engine.on_panes(batch, START_MS + (second + 1) * 1000 - 1)
    return found


def at_s(anomaly: Anomaly) -> float:
    from sentinel.timestamps import from_rfc3339

    return (from_rfc3339(anomaly.timestamp) - START_MS) / 1000


def test_each_kind_finds_slow_calls_and_says_what_it_saw(store: ModelStore, apps: list[Application], tmp_path: Path) -> None:
    engine = ShardEngine.from_state(None, RuntimeConfig.from_record(record(tmp_path)))
    found = run(engine, apps[0], [Trouble(apps[0].name, "latency", 600, 4.0, 120)])
    first = {kind: min((at_s(a) for a in found if a.detector_id == f"{kind}-pane"), default=None) for kind in KINDS}
    assert all(at is not None and 600 < at <= 690 for at in first.values()), first
    assert engine.detector_errors == {}
    told = next(a for a in found if a.detector_id == "kmeans-pane")
    assert told.metric in LATENCY and told.labels["model_version"] == "kmeans/1" and told.detector_type == "ml"
    assert told.metrics["observed_value"] > told.metrics["expected_high"]
    assert "latency_ms" in told.description and "kmeans model kmeans version 1" in told.description
    assert told.context["sample_events"]


def test_a_key_that_training_never_saw_is_judged_by_its_own_past(store: ModelStore, apps: list[Application], tmp_path: Path) -> None:
    stranger = apps[0]._replace(name="stranger", latency_ms=40.0, tokens=9_000.0)
    engine = ShardEngine.from_state(None, RuntimeConfig.from_record(record(tmp_path, ("kmeans",))))
    found = run(engine, stranger, [Trouble("stranger", "latency", 700, 5.0, 80), Trouble("stranger", "latency", 120, 5.0, 60)])
    assert [a for a in found if at_s(a) > 700]
    assert not [a for a in found if at_s(a) < 600], "it is not known yet"


def test_without_a_model_the_others_go_on_and_a_promotion_is_taken_up_at_once(
    store: ModelStore, apps: list[Application], tmp_path: Path, trained: Trained, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "dbscan" / "1" / "model.npz").write_bytes(b"cut")
    index = json.loads((tmp_path / "kmeans" / "index.json").read_text())
    (tmp_path / "kmeans" / "index.json").write_text(json.dumps(index | {"promoted": 0}))
    trouble = [Trouble(apps[0].name, "latency", 300, 4.0, 400)]
    engine = ShardEngine.from_state(None, RuntimeConfig.from_record(record(tmp_path)))
    with caplog.at_level(logging.ERROR):
        before = run(engine, apps[0], trouble, 400)
    assert {a.detector_id for a in before} == {f"{kind}-pane" for kind in KINDS} - {"dbscan-pane", "kmeans-pane"}
    assert "model dbscan cannot be used, its detectors are idle" in caplog.text
    store.promote("kmeans", 1)
    still = run(engine, apps[0], trouble, 430, begin=400)
    assert "kmeans-pane" not in {a.detector_id for a in still}, "within the reload interval nothing changes by itself"
    # The same version of the configuration once more: what `sentinel models promote` sends.
    engine.apply_config(RuntimeConfig.from_record(record(tmp_path)))
    after = run(engine, apps[0], trouble, 480, begin=430)
    assert "kmeans-pane" in {a.detector_id for a in after}


def test_a_shadow_is_recorded_and_raises_nothing(store: ModelStore, apps: list[Application], tmp_path: Path, trained: Trained) -> None:
    card, packed = trained["kmeans"]
    store.add(msgspec.structs.replace(card, version=2, tail=msgspec.structs.replace(card.tail, level=1e6)), packed)
    store.add(msgspec.structs.replace(card, version=3), packed)
    store.promote("kmeans", 2)
    store.set_shadow("kmeans", 3)
    engine = ShardEngine.from_state(None, RuntimeConfig.from_record(record(tmp_path, ("kmeans",))))
    found = run(engine, apps[0], [Trouble(apps[0].name, "latency", 300, 4.0, 120)], 480)
    assert found and {a.status for a in found} == {"shadow"}
    assert {a.labels["model_version"] for a in found} == {"kmeans/3"}


def test_a_model_of_one_tenant_serves_no_other(store: ModelStore, apps: list[Application], tmp_path: Path, trained: Trained) -> None:
    card, packed = trained["kmeans"]
    for version, tenant in ((2, "globex"), (3, "acme")):
        store.add(msgspec.structs.replace(card, version=version, tenant=tenant), packed)
    trouble = [Trouble(apps[0].name, "latency", 300, 4.0, 120)]
    raised = []
    for version in (2, 3):
        store.promote("kmeans", version)
        libraries._libraries.clear()
        raised.append(
            bool(run(ShardEngine.from_state(None, RuntimeConfig.from_record(record(tmp_path, ("kmeans",)))), apps[0], trouble, 480))
        )
    assert raised == [False, True]


def test_state_in_the_middle_changes_nothing_and_stays_small(store: ModelStore, apps: list[Application], tmp_path: Path) -> None:
    config = RuntimeConfig.from_record(record(tmp_path))
    trouble = [Trouble(apps[0].name, "latency", 600, 4.0, 120)]
    whole = run(ShardEngine.from_state(None, config), apps[0], trouble)
    cut = ShardEngine.from_state(None, config)
    found = run(cut, apps[0], trouble, 633)
    state = cut.to_state()
    found += run(ShardEngine.from_state(state, config), apps[0], trouble, begin=633)
    assert msgspec.json.encode(found) == msgspec.json.encode(whole)
    assert len(state) / (2 * len(KINDS)) < 4096, "bytes a key and detector"


def test_a_model_of_another_kind_is_reported_and_isolated(store: ModelStore, apps: list[Application], tmp_path: Path) -> None:
    text = f"""detection: {{mlModels: {{path: {tmp_path}}}, detectors: {{items: [
        {{id: mixed-up, type: ml, strategy: dbscan, config: {{model: kmeans}}}}, {{id: fine, type: ml, strategy: kmeans, config: {{model: kmeans}}}}]}}}}"""
    engine = ShardEngine.from_state(None, RuntimeConfig.from_record(record_value(1, parse_config(text, "c").config.to_snapshot())))
    found = run(engine, apps[0], [Trouble(apps[0].name, "latency", 300, 4.0, 120)], 480)
    said = {a.detector_id for a in found}
    assert "fine" in said and "mixed-up" not in said
    assert engine.detector_errors["mixed-up"] > 0


@pytest.mark.parametrize("kind", KINDS)
def test_odd_panes_never_raise(store: ModelStore, tmp_path: Path, kind: str, apps: list[Application]) -> None:
    engine = ShardEngine.from_state(None, RuntimeConfig.from_record(record(tmp_path, (kind,))))
    for second in range(0, 900, 5):
        start = START_MS + second * 1000
        latency = np.full(20, 1e9 if second > 600 else 1.0)
        pane = pane_of(apps[0].name, "gpt-4", start, latency, np.full(20, 2**40), np.full(20, 10**15), 20 if second % 2 else 0)
        if second % 3 == 0:
            pane = Pane("acme", apps[0].name, "gpt-4", start, calls=30, errors=45)
        for anomaly in engine.on_panes([pane], start + 999):
            assert 0.0 <= anomaly.score <= 1.0
    assert engine.detector_errors == {}


def test_the_configuration_names_what_is_wrong() -> None:
    from sentinel.config.errors import ConfigError

    def refused(config: str, strategy: str = "kmeans") -> str:
        with pytest.raises(ConfigError) as caught:
            parse_config(f"detectors: [{{id: a, type: ml, strategy: {strategy}, config: {config}}}]", "c.yaml")
        return str(caught.value)

    assert "model" in refused("{model: ''}")
    assert "threshold" in refused("{model: a, treshold: 3}")
    assert "isolation_forest" in refused("{model: a}", "isolation_forrest")


def test_unused_without_trouble(store: ModelStore, apps: list[Application], tmp_path: Path) -> None:
    engine: Any = ShardEngine.from_state(None, RuntimeConfig.from_record(record(tmp_path)))
    assert run(engine, apps[1], [], 1500, seed=21) == []
