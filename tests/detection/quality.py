"""Runs synthetic traffic with trouble through a shard engine and says what was found, when, and what was a false alarm."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from synthetic import START_MS, Application, Trouble, applications, panes

from sentinel.anomaly import Anomaly
from sentinel.config.runtime import RuntimeConfig
from sentinel.detection.engine import ShardEngine
from sentinel.timestamps import from_rfc3339

FINDS = {
    "latency": {"latency-zscore"},
    "errors": {"error-rate-zscore"},
    "cost": {"cost-zscore"},
    "tokens": {"tokens-zscore"},
    "user": {"user-misuse"},
    "silence": {"application-silence"},
}
AFTERMATH_S = 15
"""Event time after a trouble's end in which its last windows may still speak."""


class Outcome(NamedTuple):
    found: dict[Trouble, float]
    """Delay in seconds from the begin to the first right detection."""
    missed: list[Trouble]
    false_alarms: list[Anomaly]
    panes: int


def run(
    config: RuntimeConfig, seed: int, troubles: list[Trouble], seconds: int, count: int = 10, rates: tuple[float, float] = (2.0, 8.0)
) -> Outcome:
    rng = np.random.default_rng(seed)
    found: dict[Trouble, float] = {}
    false_alarms: list[Anomaly] = []
    fed = 0
    for app in applications(count, rng, *rates):
        engine = ShardEngine.from_state(None, config)
        for anomaly, n in feed(engine, app, seconds, rng, troubles):
            fed += n
            if anomaly is not None:
                judge(anomaly, troubles, found, false_alarms)
    return Outcome(found, [trouble for trouble in troubles if trouble not in found], false_alarms, fed)


def feed(engine: ShardEngine, app: Application, seconds: int, rng: np.random.Generator, troubles: list[Trouble]):
    for second, found, user_pane in panes(app, seconds, rng, troubles):
        batch = [*found, *([user_pane] if user_pane else [])]
        yield None, len(batch)
        for anomaly in engine.on_panes(batch, START_MS + (second + 1) * 1000 - 1):
            yield anomaly, 0


def judge(anomaly: Anomaly, troubles: list[Trouble], found: dict[Trouble, float], false_alarms: list[Anomaly]) -> None:
    at_s = (from_rfc3339(anomaly.timestamp) - START_MS) / 1000
    near = [t for t in troubles if t.application == anomaly.application_id and t.begin_s < at_s <= t.begin_s + t.length_s + AFTERMATH_S]
    for trouble in near:
        if anomaly.detector_id in FINDS[trouble.kind] and at_s <= trouble.begin_s + trouble.length_s + 5:
            found.setdefault(trouble, at_s - trouble.begin_s)
    if not near:
        false_alarms.append(anomaly)


def plan(rng: np.random.Generator, count: int, sizes: dict[str, float], begin_s: int = 125, spacing_s: int = 100) -> list[Trouble]:
    """One trouble of each kind, each at another application, one after the other."""
    chosen = rng.permutation(count)
    return [
        Trouble(f"app-{chosen[n % count]:02d}", kind, begin_s + n * spacing_s, size, user=int(rng.integers(0, 4)))
        for n, (kind, size) in enumerate(sizes.items())
    ]
