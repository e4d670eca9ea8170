"""What a pane costs in the detection core: `python bench/pane_cost.py [--profile]`. One process, synthetic panes, the default detectors."""

from __future__ import annotations

import argparse
import cProfile
import gc
import pstats
import sys
import time
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "tests" / "detection"), str(Path(__file__).resolve().parents[1])]

from synthetic import START_MS, applications, panes  # noqa: E402

from sentinel.config.load import default_config  # noqa: E402
from sentinel.config.runtime import RuntimeConfig  # noqa: E402
from sentinel.detection.engine import ShardEngine  # noqa: E402
from sentinel.panes import Pane, UserPane  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--applications", type=int, default=20)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    config = RuntimeConfig.from_snapshot(1, default_config().config.to_snapshot())
    rng = np.random.default_rng(1)
    seconds: list[list[Pane | UserPane]] = [[] for _ in range(options.seconds)]
    for app in applications(options.applications, rng):
        for second, found, user_pane in panes(app, options.seconds, rng, []):
            seconds[second] += [*found, *([user_pane] if user_pane else [])]
    count = sum(map(len, seconds))
    engine = ShardEngine.from_state(None, config)
    gc.collect()
    profile = cProfile.Profile()
    if options.profile:
        profile.enable()
    began = time.process_time()
    for second, batch in enumerate(seconds):
        engine.on_panes(batch, START_MS + second * 1000 + 999)
    used = time.process_time() - began
    profile.disable()
    began = time.process_time()
    state = engine.to_state()
    encoding = time.process_time() - began
    began = time.process_time()
    ShardEngine.from_state(state, config)
    decoding = time.process_time() - began
    detectors = sum(detector.level != "event" for detector in config.detectors)
    print(f"{count} panes, {engine.keys} keys, {detectors} detectors: {used / count * 1e6:.1f} us a pane")
    writing, reading = encoding / engine.keys * 1e6, decoding / engine.keys * 1e6
    print(f"state: {len(state) / engine.keys:.0f} bytes a key, to_state {writing:.0f} us, from_state {reading:.0f} us a key")
    if options.profile:
        pstats.Stats(profile).sort_stats("tottime").print_stats(18)


if __name__ == "__main__":
    main()
