"""Trained models: how many updates a second, against River and PyOD, and how well each kind finds what a plain z-score finds or misses."""

from __future__ import annotations

import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bench.engine_row import FOLDER, PYTHON, prepare
from bench.row import Row
from sentinel.config.load import default_config, parse_config
from sentinel.config.runtime import RuntimeConfig
from sentinel.detection.engine import ShardEngine
from sentinel.models.artifact import read_model
from sentinel.models.scorers import SEQUENCE
from sentinel.models.store import ModelStore
from sentinel.panes import Pane, UserPane
from sentinel.timestamps import from_rfc3339
from services.models.training import train
from services.stack.paths import project_root
from tests.detection.synthetic import START_MS, Application, Trouble, applications, panes
from tests.models.stored import as_minutes, minute_panes

KINDS = ("isolation_forest", "kmeans", "dbscan", "autoencoder", "lstm")
SIMPLE = "z-score (built in)"
TRAINING_MINUTES = 480
SECONDS = 1_500
AFTERMATH_S = 75
"""A judged minute still holds trouble for as long after its end."""
SIZES = (1.3, 1.5, 2.0, 3.0)
SHARES = (0.03, 0.05, 0.1, 0.2)


def rates(row: Row, quick: bool) -> Row:
    """Updates per second on one core, ours and theirs, over the same vectors."""
    rng = np.random.default_rng(3)
    rows = rng.standard_t(5, size=(4_000 if quick else 20_000, 6)).clip(-12.0, 12.0)
    minutes = as_minutes(minute_panes(applications(6, rng), 240, rng))
    ours: dict[str, float] = {}
    for kind in KINDS:
        card, packed = train(minutes, name=kind, version=1, kind=kind, features=None)
        scorer = read_model(card, packed, kind).scorer
        data = rows[:, : scorer.columns]
        if scorer.sequence:
            data = np.stack([data[n : n + SEQUENCE] for n in range(len(data) - SEQUENCE)])
        single = data[:500]
        ours[f"{kind}, score one by one"] = _rate(
            len(single), lambda scorer=scorer, single=single: [scorer.score(one[None]) for one in single]
        )  # type: ignore[misc]
        ours[f"{kind}, score in one batch"] = _rate(len(data), lambda scorer=scorer, data=data: _in_batches(scorer, data))  # type: ignore[misc]
    ours["z-score detector, panes"] = _pane_rate()
    row.details = {"ours": ours, "references": _references(rows)}
    fast = row.details["references"]
    forest = [value for name, value in fast.items() if "PyOD" in name]
    trees = next(value for name, value in fast.items() if "river" in name)
    row.details["ratio"] = {
        "our isolation forest one by one : PyOD": round(ours["isolation_forest, score one by one"] / forest[0], 2),
        "our isolation forest in a batch : PyOD": round(ours["isolation_forest, score in one batch"] / forest[1], 2),
        "our z-score : River's half-space trees": round(ours["z-score detector, panes"] / trees, 2),
    }
    return row


def _in_batches(scorer: Any, data: Any) -> None:
    for part in np.array_split(data, len(data) // 1_000 + 1):
        scorer.score(part)


def _rate(updates: int, work: Callable[[], Any]) -> float:
    work()
    began = time.process_time()
    work()
    return round(updates / max(1e-9, time.process_time() - began))


def _pane_rate() -> float:
    from sentinel.config.runtime import DetectorConfig
    from sentinel.detection.detectors import new_detector

    rng = np.random.default_rng(4)
    config = DetectorConfig(
        id="d", type="statistical", strategy="zscore", level="pane", metric="latency_ms", params={"metric": "latency_ms"}
    )
    fed = [pane for _, found, _ in panes(applications(1, rng)[0], 4_000, rng, []) for pane in found[:1]]
    detector = new_detector(config, 300_000)
    began = time.process_time()
    for pane in fed:
        detector.on_pane(pane)
    return round(len(fed) / (time.process_time() - began))


def _references(rows: Any) -> dict[str, float]:
    prepare()
    with tempfile.TemporaryDirectory() as folder:
        vectors = Path(folder) / "vectors.npy"
        np.save(vectors, rows)
        done = subprocess.run(
            [str(PYTHON), "-W", "ignore", "-m", "bench.engines.outlier_libraries", str(vectors)],
            cwd=FOLDER.parent, env=os.environ | {"PYTHONPATH": str(project_root())}, capture_output=True, text=True, check=False,
        )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"bench: the reference libraries failed: {done.stderr.strip().splitlines()[-1]}")
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def quality(row: Row, quick: bool) -> Row:
    """Recall by size, delay and false alarms of each kind, over seeds drawn at run; the plain z-score beside them."""
    seeds = [secrets.randbelow(2**31) for _ in range(1 if quick else 6)]
    print(f"bench: seeds {', '.join(map(str, seeds))}", file=sys.stderr)
    found: dict[str, dict[str, list[Any]]] = {name: {"outcomes": [], "delays": [], "alarms": []} for name in (SIMPLE, *KINDS)}
    days = 0.0
    for seed in seeds:
        days += _one_seed(seed, found)
    row.details = {"seeds": " ".join(map(str, seeds)), "application days": round(days, 3)}
    for name, outcome in found.items():
        row.details[name] = {
            "recall": round(float(np.mean([hit for _, _, hit in outcome["outcomes"]])), 3),
            **{
                f"recall {kind}": ", ".join(
                    f"{size:g}: {sum(hits)}/{len(hits)}"
                    for size in (SHARES if kind == "errors" else SIZES)
                    if (hits := [hit for k, s, hit in outcome["outcomes"] if (k, s) == (kind, size)])
                )
                for kind in ("latency", "tokens", "cost", "errors")
            },
            "median delay s": round(statistics.median(outcome["delays"]), 1) if outcome["delays"] else None,
            "false alarms per application and day": round(sum(outcome["alarms"]) / days, 2),
        }
    return row


def _one_seed(seed: int, found: dict[str, dict[str, list[Any]]]) -> float:
    rng = np.random.default_rng(seed)
    apps = applications(10, rng)
    minutes = as_minutes(minute_panes(apps, TRAINING_MINUTES, rng))
    troubles = [
        Trouble(apps[(4 * place + number) % len(apps)].name, kind, 480 + 200 * place, size, 60)
        for number, (kind, sizes) in enumerate((("latency", SIZES), ("tokens", SIZES), ("cost", SIZES), ("errors", SHARES)))
        for place, size in enumerate(sizes)
    ]
    with tempfile.TemporaryDirectory() as folder:
        store = ModelStore(folder)
        for kind in KINDS:
            card, packed = train(minutes, name=kind, version=1, kind=kind, seed=seed)
            store.add(card, packed)
            store.promote(kind, 1)
        config = _config(folder)
        for app in apps:
            engine = ShardEngine.from_state(None, config)
            for second, found_panes, _ in panes(app, SECONDS, rng, troubles):
                batch: list[Pane | UserPane] = [*found_panes]
                for anomaly in engine.on_panes(batch, START_MS + (second + 1) * 1000 - 1):
                    _note(found, anomaly, app, [trouble for trouble in troubles if trouble.application == app.name])
    for outcome in found.values():
        hits: dict[Trouble, float] = outcome.pop("hits", {})  # type: ignore[assignment]
        outcome["outcomes"] += [(trouble.kind, trouble.size, trouble in hits) for trouble in troubles]
        outcome["delays"] += list(hits.values())
        outcome["alarms"].append(len(outcome.pop("ids", {})))
    return len(apps) * SECONDS / 86_400


def _note(found: dict[str, Any], anomaly: Any, app: Application, troubles: list[Trouble]) -> None:
    name = anomaly.detector_id if anomaly.detector_id in KINDS else SIMPLE
    at_s = (from_rfc3339(anomaly.timestamp) - START_MS) / 1000
    near = [trouble for trouble in troubles if trouble.begin_s < at_s <= trouble.begin_s + trouble.length_s + AFTERMATH_S]
    outcome = found[name]
    for trouble in near:
        outcome.setdefault("hits", {}).setdefault(trouble, at_s - trouble.begin_s)
    if not near:
        outcome.setdefault("ids", {})[anomaly.anomaly_id] = app.name


def _config(folder: str) -> RuntimeConfig:
    """The built-in learning detectors on single metrics, and one detector a kind of model, in one engine: they see the same panes."""
    built_in = [item for item in default_config().config.to_snapshot()["detection"]["detectors"]["items"] if item["strategy"] == "zscore"]
    trained = [{"id": kind, "type": "ml", "strategy": kind, "config": {"model": kind}} for kind in KINDS]
    text = msgspec.json.encode({"detection": {"mlModels": {"path": folder}, "detectors": {"items": [*built_in, *trained]}}}).decode()
    return RuntimeConfig.from_snapshot(1, parse_config(text, "bench").config.to_snapshot())
