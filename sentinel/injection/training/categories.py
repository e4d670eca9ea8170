"""What kind of attack a wording is nearest to: a softmax over the network's inner values, for the reasons that are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from sentinel.injection.arrays import FloatArray
from sentinel.injection.training.examples import Example, Features
from sentinel.injection.training.net import Parameters, inner_values, window_logits

CATEGORIES: Final = {
    "instruction override": ("instruction-override", "deepset"),
    "system prompt extraction": ("system-prompt-extraction",),
    "secret extraction": ("secret-extraction", "plain-words-extraction"),
    "role play": ("role-play", "virtualisation", "jailbreaks-in-the-wild"),
    "false authority": ("privileged-mode",),
    "persuasion": ("persuasion",),
    "faked conversation": ("fake-turn", "many-shot"),
    "output manipulation": ("prefix-and-format",),
    "split payload": ("payload-splitting",),
    "indirect question": ("indirect-reference",),
    "planted instruction": (
        "planted-in-mail",
        "planted-in-document",
        "planted-in-data",
        "planted-in-tool-output",
        "planted-in-given-texts",
        "planted-answers",
        "answer-orders-in-given-texts",
        "planted-in-applications",
        "planted-in-payments",
    ),
    "planted code": ("planted-in-code", "planted-code"),
}
"""Category: the families that it is learnt from."""

_STEPS: Final = 400
_RATE: Final = 0.05
_DECAY: Final = 1e-3


def fit_categories(parameters: Parameters, features: Features, examples: Sequence[Example]) -> tuple[list[str], FloatArray, FloatArray]:
    """(names, weights, bias), fitted on the highest window of every attack of a known category, each category with the same weight."""
    number_of = {family: number for number, families in enumerate(CATEGORIES.values()) for family in families}
    chosen = np.array([place for place, example in enumerate(examples) if example.family in number_of])
    target = np.array([number_of[examples[place].family] for place in chosen])
    logits = window_logits(parameters, features)
    best = np.array(
        [features.first_window[place] + np.argmax(logits[slice(*features.first_window[place : place + 2])]) for place in chosen]
    )
    x = inner_values(parameters, features, best)
    scale = x.std(axis=0) + 1e-3
    x /= scale
    counts = np.bincount(target, minlength=len(CATEGORIES))
    weight = (1.0 / np.maximum(counts, 1))[target] / len(CATEGORIES)
    weights = np.zeros((x.shape[1], len(CATEGORIES)), np.float32)
    bias = np.zeros(len(CATEGORIES), np.float32)
    wanted = np.eye(len(CATEGORIES), dtype=np.float32)[target]
    for _ in range(_STEPS):
        raised = x @ weights + bias
        chance = np.exp(raised - raised.max(axis=1, keepdims=True))
        chance /= chance.sum(axis=1, keepdims=True)
        error = (chance - wanted) * weight[:, None].astype(np.float32)
        weights -= _RATE * 20 * (x.T @ error + _DECAY * weights)
        bias -= _RATE * 20 * error.sum(axis=0)
    return list(CATEGORIES), (weights / scale[:, None]).astype(np.float32), bias
