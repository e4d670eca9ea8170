"""What detectors cost: microseconds a pane and bytes a key and detector, for 10, 30 and 100 detectors over 1,000 keys. One process, no Flink."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import numpy as np

from bench.row import Row
from sentinel.collector import collect_seldom
from sentinel.config.load import parse_config
from sentinel.config.runtime import RuntimeConfig
from sentinel.detection.engine import ShardEngine
from sentinel.detection.metrics import SPECS
from sentinel.panes import Pane, UserPane
from tests.detection.synthetic import START_MS, applications, panes

TEMPLATES = 20
"""Applications whose traffic is drawn; the others are copies of them under other names."""
WINDOWS = ("2m", "5m", "15m")
SHARDS = 20
"""Engines that the keys are spread over, as the job spreads them over its shards."""


def detectors(count: int) -> list[dict[str, Any]]:
    """The first `count` of: silence, peer, thresholds, and three learning strategies on every metric with three windows."""
    found: list[dict[str, Any]] = [
        {"id": "silence", "type": "rule", "strategy": "silence", "config": {}},
        {"id": "peer", "type": "behavioral", "strategy": "peer", "config": {}},
        *(
            {
                "id": f"limit-{n}",
                "type": "rule",
                "strategy": "threshold",
                "config": {"metric": "latency_ms", "value": 1e6, "window": f"{30 + n}s"},
            }
            for n in range(2)
        ),
    ]
    learning = [
        {"id": f"{strategy}-{metric}-{window}", "type": "statistical", "strategy": strategy, "config": {"metric": metric, "window": window}}
        for window in WINDOWS
        for strategy in ("zscore", "moving_average", "percentile")
        for metric in sorted(SPECS)
    ]
    limits = [
        {
            "id": f"limit-more-{n}",
            "type": "rule",
            "strategy": "threshold",
            "config": {"metric": "error_rate", "value": 0.9, "window": f"{60 + n}s"},
        }
        for n in range(50)
    ]
    return [*found, *learning, *limits][:count]


def traffic(keys: int, seconds: int) -> list[list[Pane | UserPane]]:
    """By second: panes of `keys` tenant|application|model keys, two models an application, every second."""
    rng = np.random.default_rng(1)
    drawn: list[list[list[Pane | UserPane]]] = []
    for app in applications(TEMPLATES, rng, 20.0, 40.0):
        drawn.append([[*found, *([user] if user else [])] for _, found, user in panes(app, seconds, rng, [])])
    return [
        [
            msgspec.structs.replace(pane, application_id=f"app-{number:04d}")
            for number in range(keys // 2)
            for pane in drawn[number % TEMPLATES][second]
        ]
        for second in range(seconds)
    ]


def cost(count: int, seconds_of_panes: list[list[Pane | UserPane]]) -> dict[str, float]:
    """Figures of one number of detectors; the first 65 seconds, in which nothing is judged yet, are not timed."""
    text = msgspec.json.encode({"detectors": detectors(count)}).decode()
    config = RuntimeConfig.from_snapshot(1, parse_config(text, "bench").config.to_snapshot())
    assert len(config.detectors) == count
    engines = [ShardEngine.from_state(None, config) for _ in range(SHARDS)]
    warm = min(65, len(seconds_of_panes) // 2)
    parts: list[list[list[Pane | UserPane]]] = []
    for batch in seconds_of_panes:
        parts.append([[] for _ in engines])
        for pane in batch:
            parts[-1][int(pane.application_id[4:]) % SHARDS].append(pane)
    collect_seldom()
    began = 0.0
    for second, batches in enumerate(parts):
        if second == warm:
            # One look at the clock before and one after: on some machines it costs as much as a hundred panes.
            began = time.process_time()
        for engine, part in zip(engines, batches, strict=True):
            engine.on_panes(part, START_MS + second * 1000 + 999)
    spent = time.process_time() - began
    fed = sum(len(batch) for batch in seconds_of_panes[warm:])
    began = time.process_time()
    states = [engine.to_state() for engine in engines]
    writing = time.process_time() - began
    # An application's own detectors are a key beside those of its models.
    keys = sum(engine.keys for engine in engines)
    slots = sum(len(a.application) + len(a.users) + sum(map(len, a.models.values())) for e in engines for a in e._applications.values())
    size = sum(map(len, states))
    return {
        "us a pane": round(spent / fed * 1e6, 1),
        "us a pane and detector": round(spent / fed * 1e6 / count, 2),
        "panes/s a core": round(fed / spent),
        "state bytes a key": round(size / keys),
        "state bytes a key and detector": round(size / slots),
        "us to write a key's state": round(writing / keys * 1e6, 1),
    }


def run(row: Row, quick: bool) -> Row:
    """Fill the row."""
    keys, seconds = (100, 80) if quick else (1_000, 90)
    batches = traffic(keys, seconds)
    row.details = {"keys": keys, **{f"{count} detectors": cost(count, batches) for count in (10, 30, 100)}}
    ten, hundred = row.details["10 detectors"]["us a pane"], row.details["100 detectors"]["us a pane"]
    row.details["100 against 10 detectors, us more a pane"] = round(hundred - ten, 1)
    return row
