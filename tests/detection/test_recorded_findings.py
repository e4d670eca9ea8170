"""What the detectors found in a recorded run, detector by detector and byte by byte: making them faster must not change it.

`python tests/detection/test_recorded_findings.py` records anew, after a change that is meant to change findings.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parent)]

from synthetic import START_MS, Trouble, applications, panes  # noqa: E402

from bench.engine_cost import detectors as hundred  # noqa: E402
from sentinel.config.load import default_config, parse_config  # noqa: E402
from sentinel.config.runtime import RuntimeConfig  # noqa: E402
from sentinel.detection.engine import ShardEngine  # noqa: E402

RECORDED = Path(__file__).with_name("recorded_findings.json")
SECONDS = 420
EXTRA: list[dict[str, Any]] = [
    {"id": f"{strategy}-{metric}-{name}", "type": "statistical", "strategy": strategy, "config": {"metric": metric, **options}}
    for strategy in ("zscore", "moving_average", "percentile")
    for metric in ("latency_ms", "latency_p95_ms", "error_rate", "tokens_per_second")
    for name, options in {
        "both": {"window": "3m", "direction": "both"},
        "down": {"window": "3m", "direction": "down", "sensitivity": "high"},
        "short": {"window": "1m", "evaluation": "3s", "sensitivity": "high", "consecutive": 1, "warmup": "30s", "minEvaluations": 4},
        "forgets": {"window": "2m", "adaptAfter": "25s", "repeat": "3s"},
    }.items()
]


def configurations() -> dict[str, RuntimeConfig]:
    """The shipped detectors, a hundred, and such with odd settings."""
    texts = {
        "hundred": msgspec.json.encode({"detectors": hundred(100)}).decode(),
        "settings": msgspec.json.encode({"detectors": EXTRA}).decode(),
    }
    found = {"default": default_config().config} | {name: parse_config(text, name).config for name, text in texts.items()}
    return {name: RuntimeConfig.from_snapshot(1, config.to_snapshot()) for name, config in found.items()}


def traffic() -> list[list[Any]]:
    """By second: four applications with trouble of every kind."""
    rng = np.random.default_rng(23)
    apps = applications(4, rng, 4.0, 12.0)
    troubles = [
        Trouble(apps[0].name, "latency", 180, 3.0, 45), Trouble(apps[0].name, "errors", 260, 0.4, 40), Trouble(apps[0].name, "latency", 330, 1.6, 60),
        Trouble(apps[1].name, "tokens", 185, 5.0, 40), Trouble(apps[1].name, "rate", 250, 4.0, 40), Trouble(apps[1].name, "latency", 350, 0.2, 40),
        Trouble(apps[2].name, "cost", 190, 4.0, 50), Trouble(apps[2].name, "silence", 270, 0.0, 60), Trouble(apps[2].name, "latency", 380, 6.0, 5),
        Trouble(apps[3].name, "user", 200, 30.0, 60), Trouble(apps[3].name, "rate", 300, 0.2, 60), Trouble(apps[3].name, "errors", 390, 1.0, 20),
    ]  # fmt: skip
    seconds: list[list[Any]] = [[] for _ in range(SECONDS)]
    for app in apps:
        for second, found, user in panes(app, SECONDS, rng, troubles):
            seconds[second] += [*found, *([user] if user else [])]
    return seconds


def findings(config: RuntimeConfig, seconds: list[list[Any]], restart_at: int | None = None) -> dict[str, list[Any]]:
    """Detector → how many findings, and a digest of their JSON in order."""
    engine = ShardEngine.from_state(None, config)
    by_detector: dict[str, list[bytes]] = {}
    for second, batch in enumerate(seconds):
        if second == restart_at:
            engine = ShardEngine.from_state(engine.to_state(), config)
        for anomaly in engine.on_panes(batch, START_MS + second * 1000 + 999):
            by_detector.setdefault(anomaly.detector_id, []).append(anomaly.to_json())
    return {name: [len(said), hashlib.sha256(b"\n".join(said)).hexdigest()[:16]] for name, said in sorted(by_detector.items())}


@pytest.mark.parametrize("name", ["default", "hundred", "settings"])
def test_the_findings_of_the_recorded_run_have_not_changed(name: str) -> None:
    recorded = json.loads(RECORDED.read_text())[name]
    seconds, config = traffic(), configurations()[name]
    assert findings(config, seconds) == recorded
    # In the middle of an episode and of a ten-second block.
    assert findings(config, seconds, restart_at=204) == recorded


if __name__ == "__main__":
    ran = {name: findings(config, traffic()) for name, config in configurations().items()}
    RECORDED.write_text(
        "\n".join(json.dumps(ran, indent=1).replace("[\n   ", "[").replace(",\n   ", ", ").replace("\n  ]", "]").splitlines()) + "\n"
    )
    print({name: (len(found), sum(count for count, _ in found.values())) for name, found in ran.items()})
