"""River's half-space trees and PyOD's isolation forest over the same vectors: updates per second. Runs in the environment of the comparison engines.

`python -m bench.engines.outlier_libraries VECTORS.npy`, shape (n, columns) in standard deviations; prints one JSON object.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

TREES = 128


def rate(updates: int, work: Callable[[], Any]) -> float:
    began = time.process_time()
    work()
    return round(updates / (time.process_time() - began))


def main() -> None:
    rows = np.load(sys.argv[1])
    cut = len(rows) // 2
    train, test = rows[:cut], rows[cut:]
    from river import anomaly

    names = [f"f{column}" for column in range(rows.shape[1])]
    # Its scores want features from 0 to 1; converting is not its work, so it is not timed.
    scaled = np.clip((rows + 12.0) / 24.0, 0.0, 1.0)
    observations = [dict(zip(names, row, strict=True)) for row in scaled.tolist()]
    trees = anomaly.HalfSpaceTrees(n_trees=10, height=8, window_size=250, seed=1)

    def stream() -> None:
        for observation in observations:
            trees.score_one(observation)
            trees.learn_one(observation)

    found: dict[str, float] = {"river HalfSpaceTrees (10 trees), score and learn": rate(len(observations), stream)}

    from pyod.models.iforest import IForest

    forest = IForest(n_estimators=TREES, max_samples=256, random_state=1, n_jobs=1)
    forest.fit(train)
    single = test[:200]
    found[f"PyOD IForest ({TREES} trees), score one by one"] = rate(
        len(single), lambda: [forest.decision_function(row[None]) for row in single]
    )
    found[f"PyOD IForest ({TREES} trees), score in one batch"] = rate(len(test), lambda: forest.decision_function(test))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
