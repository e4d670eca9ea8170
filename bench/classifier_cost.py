"""What the injection classifier costs, without Flink: one process, one core. Alone: `python -m bench.classifier_cost`."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import time
from itertools import count

import numpy as np

from bench.row import Row
from sentinel.injection.classifier import THRESHOLD, shared_classifier
from sentinel.injection.reasons import judge
from services.traffic.attacks import attack_prompt
from services.traffic.prompts import TEMPLATES, PromptWriter

SIZES = {40: 20_000, 200: 5_000, 5_000: 200}
"""Words of a text, and how many of them are scored."""
ATTACK_SHARE = 0.05
BATCH = 5_000
ROUNDS = 3


def prompts(words: int, number: int, attacks: float, seed: int = 1) -> list[str]:
    """Texts of the traffic generator joined to the length, a share of them with an attack in front; new numbers in each, as in real traffic."""
    rng = np.random.default_rng([seed, words])
    domains = list(TEMPLATES)
    writer = PromptWriter(rng)
    drawn = (text for _ in count() for text, _ in writer.draw([domains[int(place)] for place in rng.integers(0, len(domains), 1000)]))
    result = []
    for index in range(number):
        text = attack_prompt(seed, index).split() if rng.random() < attacks else []
        while len(text) < words:
            text += next(drawn).split()
        result.append(" ".join(text[:words]))
    return result


def rates() -> dict[str, float]:
    """Texts a second by length; the best of some rounds. "flagged" rows have reasons made for 5 % and 100 % of the texts."""
    classifier = shared_classifier()
    result: dict[str, float] = {}
    for words, number in SIZES.items():
        for name, share in (("", 0.0), (f", {ATTACK_SHARE:.0%} attacks", ATTACK_SHARE), (", all attacks", 1.0)):
            texts = prompts(words, number if share < 1 else number // 4, share)
            classifier.scores(texts[:1000])
            best = 0.0
            for _ in range(ROUNDS):
                began = time.process_time()
                for begin in range(0, len(texts), BATCH):
                    judge(classifier, texts[begin : begin + BATCH], THRESHOLD)
                best = max(best, len(texts) / (time.process_time() - began))
            result[f"{words} words{name}"] = round(best)
    return result


def run(row: Row) -> Row:
    """The row."""
    row.details = {"texts_per_second_and_core": rates()}
    return row


if __name__ == "__main__":
    for label, rate in rates().items():
        print(f"{label:28} {rate:>10,.0f} texts/s {1e6 / rate:>10,.1f} µs a text")
