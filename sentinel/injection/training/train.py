"""Train the classifier and measure it by held-out family: `python -m sentinel.injection.training.train --data-dir DIR`.

Same data, seed and library versions give the same model on the same machine (OPENBLAS_NUM_THREADS=1); on another one sums are rounded in another order,
and scores may differ by about 0.01.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from sentinel.injection.arrays import FloatArray
from sentinel.injection.artifact import DEFAULT_PATH, Model, save
from sentinel.injection.classifier import THRESHOLD, InjectionClassifier
from sentinel.injection.training.categories import fit_categories
from sentinel.injection.training.examples import Example, Features, classes_of, featurise, subset
from sentinel.injection.training.generator import generate
from sentinel.injection.training.given import deepset_dev, given_examples
from sentinel.injection.training.measure import by_family, calibrate, family_weights, folds_of, near_duplicates, weighted_quantile
from sentinel.injection.training.net import Parameters, Settings, merge, text_logits, train
from sentinel.injection.training.report import card
from sentinel.injection.vocabulary import WordVectors
from sentinel.injection.word_classes import WordClasses

NAME: Final = "prompt-injection-detector-v2"
CLASSES: Final = (1000, 150)
NET_SEEDS: Final = (0, 2)
"""Added to the seed: the model is the mean of one network each."""
CARRIERS: Final = 650
CARRIER_FAMILIES: Final = ("task-prompts", "written-tasks", "arena-hard", "clean-contexts")
PLAIN_WORK: Final = "business"
TRADE_OFF: Final = (0.01, 0.02, 0.03, 0.04)
FALSE_POSITIVES: Final = 0.03
"""Share of harmless look-alikes, of families that the network never saw, that lies at 0.85 or above. Plain work is far below it."""


class Prepared(NamedTuple):
    """Everything that trainings share."""

    examples: list[Example]
    features: Features
    classes: WordClasses


def prepare(data_dir: Path, seed: int) -> Prepared:
    """Given and generated examples as numbers."""
    rng = np.random.default_rng([seed, 3])
    given = given_examples(data_dir, rng)
    carriers = [item.text for item in given if item.family in CARRIER_FAMILIES and 150 < len(item.text) < 3000]
    chosen = [carriers[place] for place in rng.permutation(len(carriers))[:CARRIERS]]
    examples = [*given, *generate(seed, chosen)]
    vectors = WordVectors()
    classes = classes_of(examples, vectors, CLASSES, seed)
    return Prepared(examples, featurise(examples, vectors, classes), classes)


def held_out_logits(data: Prepared, folds: int, settings: Settings, seed: int) -> FloatArray:
    """Logit of every text by a network that saw neither its family nor a near duplicate of it."""
    result = np.full(len(data.examples), np.nan, np.float32)
    texts = [example.text for example in data.examples]
    for number, held in enumerate(folds_of(data.examples, folds)):
        rest = np.flatnonzero(~held)
        doubles = near_duplicates([texts[place] for place in rest], [texts[place] for place in np.flatnonzero(held)])
        rest = rest[~doubles]
        net = train(data.features, rest, family_weights([data.examples[place] for place in rest]), settings, seed)
        test = np.flatnonzero(held & np.isnan(result))
        result[test] = text_logits(net, subset(data.features, test))
        print(
            f"fold {number + 1}: {int(held.sum()):,} held out, {len(rest):,} learnt, {int(doubles.sum()):,} near duplicates left out",
            flush=True,
        )
    return result


def final_net(data: Prepared, settings: Settings, seed: int) -> Parameters:
    """The mean of networks trained on everything."""
    weights, everything = family_weights(data.examples), np.arange(len(data.examples))
    return merge([train(data.features, everything, weights, settings, seed + further) for further in NET_SEEDS])


def model_of(net: Parameters, data: Prepared, calibration: tuple[float, float]) -> Model:
    """The trained parts as the model that is shipped."""
    categories, weights, bias = fit_categories(net, data.features, data.examples)
    parts = (net["A"], net["M"], net["C"], net["b"], net["u"], net["g"], float(net["c"][0]))
    return Model(NAME, data.classes.levels, *parts, categories, weights, bias, calibration)


def calibration_of(data: Prepared, logits: FloatArray) -> tuple[tuple[float, float], float]:
    """(slope, shift), and the share of attacks in the traffic for which the score is then the chance of an attack; from held-out logits.

    Platt's curve gives the slope. Its shift says how common attacks are; it is chosen so that the threshold lies at `FALSE_POSITIVES`.
    """
    labels, weights = data.features.labels, family_weights(data.examples)
    slope, shift = calibrate(logits.astype(np.float64), labels, weights)
    harmless = labels == 0
    limit = weighted_quantile(logits[harmless], weights[harmless], 1 - FALSE_POSITIVES)
    chosen = float(np.log(THRESHOLD / (1 - THRESHOLD))) - slope * limit
    return (slope, chosen), float(1 / (1 + np.exp(shift - chosen)))


def trade_off(data: Prepared, logits: FloatArray) -> list[dict[str, float]]:
    """What other shares of flagged look-alikes would find: means over the held-out families, and the share of plain work flagged."""
    labels, weights = data.features.labels, family_weights(data.examples)
    harmless = labels == 0
    result = []
    for share in TRADE_OFF:
        limit = weighted_quantile(logits[harmless], weights[harmless], 1 - share)
        rows = by_family(data.examples, (logits >= limit).astype(np.float32), 0.5)
        means = {
            name: float(np.mean([row.flagged for row in rows if row.label == label])) for name, label in (("recall", 1), ("flagged", 0))
        }
        worst = max((row for row in rows if not row.label), key=lambda row: row.flagged)
        plain = next(row.flagged for row in rows if row.family == PLAIN_WORK)
        result.append({"share": share, **means, "worst": worst.flagged, "plain": plain})
    return result


def _figures(data: Prepared, logits: FloatArray, calibration: tuple[float, float]) -> list[dict[str, Any]]:
    scores = (1 / (1 + np.exp(-(calibration[0] * logits + calibration[1])))).astype(np.float32)
    return [result._asdict() for result in by_family(data.examples, scores, THRESHOLD)]


def _dev(model: Model, data_dir: Path) -> dict[str, float]:
    dev = deepset_dev(data_dir)
    scores = np.array(InjectionClassifier(model).scores([example.text for example in dev]))
    labels = np.array([example.label for example in dev])
    return {
        "recall": float((scores[labels == 1] >= THRESHOLD).mean()),
        "flagged_harmless": float((scores[labels == 0] >= THRESHOLD).mean()),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of the trainer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True, help="folder injection-train")
    parser.add_argument("--output", type=Path, default=DEFAULT_PATH)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--folds", type=int, default=6, help="folds of families for calibration and figures; 0 holds out one attack family each"
    )
    options = parser.parse_args(arguments)
    began = time.monotonic()
    settings = Settings()
    data = prepare(options.data_dir, options.seed)
    print(f"{len(data.examples):,} texts, {len(data.features.text):,} windows, {time.monotonic() - began:.0f} s", flush=True)
    logits = held_out_logits(data, options.folds, settings, options.seed)
    calibration, attack_share = calibration_of(data, logits)
    net = final_net(data, settings, options.seed)
    model = model_of(net, data, calibration)
    about: dict[str, Any] = {
        "seed": options.seed,
        "folds": options.folds,
        "settings": settings._asdict(),
        "attack_share": attack_share,
        "texts": {name: sum(example.label == label for example in data.examples) for label, name in ((0, "harmless"), (1, "attacks"))},
        "false_positives": FALSE_POSITIVES,
        "trade_off": trade_off(data, logits),
        "held_out": _figures(data, logits, calibration),
        "deepset_dev": _dev(model, options.data_dir),
    }
    save(model, options.output, about)
    options.output.with_suffix(".md").write_text(card(model.name, about), encoding="utf-8")
    print(json.dumps(about["deepset_dev"]), f"{time.monotonic() - began:.0f} s", options.output)


if __name__ == "__main__":
    main()
