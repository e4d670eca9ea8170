"""What kind of attack a wording is nearest to: a softmax over the network's inner values, for the reasons that are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from sklearn.linear_model import LogisticRegression

from sentinel.injection.arrays import FloatArray
from sentinel.injection.training.examples import Example, Features
from sentinel.injection.training.net import Parameters, inner_values, window_logits

CATEGORIES: Final = {
    "instruction override": ("instruction-override", "deepset", "subject-changes"),
    "system prompt extraction": ("system-prompt-extraction",),
    "secret extraction": ("secret-extraction", "plain-words-extraction"),
    "role play": ("role-play", "virtualisation", "jailbreaks-in-the-wild", "long-personas"),
    "false authority": ("privileged-mode",),
    "persuasion": ("persuasion",),
    "faked conversation": ("fake-turn", "many-shot"),
    "output manipulation": ("prefix-and-format",),
    "split payload": ("payload-splitting", "payload-assembly"),
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
        "side-orders",
        "side-orders-in-given-texts",
    ),
    "planted code": ("planted-in-code", "planted-code", "code-orders"),
}
"""Category: the families that it is learnt from."""

_STEPS: Final = 1000
_STRENGTH: Final = 0.3


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
    fit = LogisticRegression(C=_STRENGTH, class_weight="balanced", max_iter=_STEPS, tol=1e-3).fit(x, target)
    weights = np.asarray(fit.coef_.T / scale[:, None], np.float32)
    return list(CATEGORIES), weights, np.asarray(fit.intercept_, np.float32)
