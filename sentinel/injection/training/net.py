"""The network and its training, in numpy: a window's logit comes from its words' mean vector, the whole text's, its n-grams and its form.

    hidden = relu(window @ A + piece @ A @ M + form @ C + b)        logit = hidden @ u + ngrams @ g + c

A text's logit is that of its highest piece (itself or a hidden part), and a piece's that of its highest windows (`windows.pool`), so that training has to
find the windows that make a text an attack (multiple-instance learning).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from sentinel.injection.arrays import FloatArray, IntArray
from sentinel.injection.features import BUCKETS, FORM
from sentinel.injection.training.examples import Features, subset
from sentinel.injection.vocabulary import VECTOR_SIZE
from sentinel.injection.windows import pool

Parameters = dict[str, FloatArray]

_BETA1: Final = 0.9
_BETA2: Final = 0.999
_EPSILON: Final = 1e-8


class Settings(NamedTuple):
    """How one network is trained."""

    hidden: int = 48
    epochs: int = 5
    batch: int = 128
    rate: float = 0.01
    ngram_rate: float = 0.03
    """Step of the n-gram weights."""
    dropout: float = 0.3
    noise: float = 0.15
    """Standard deviation of noise on the vectors, relative to theirs."""
    ngram_dropout: float = 0.2
    """Share of n-grams that is left out at each step, so that no single phrase decides."""
    ngrams_off: float = 0.0
    """Share of texts that are learnt without any n-gram."""
    ngram_decay: float = 2e-4
    decay: float = 1e-4
    smoothing: float = 0.02


def initial(settings: Settings, rng: np.random.Generator) -> Parameters:
    """Random parameters."""
    h = settings.hidden

    def random(rows: int, columns: int, scale: float) -> FloatArray:
        return (rng.standard_normal((rows, columns)) * scale).astype(np.float32)

    return {
        "A": random(VECTOR_SIZE, h, VECTOR_SIZE**-0.5),
        "M": random(h, h, 0.3 * h**-0.5),
        "C": random(len(FORM), h, 0.3),
        "b": np.zeros(h, np.float32),
        "u": random(h, 1, h**-0.5)[:, 0],
        "g": np.zeros(BUCKETS, np.float32),
        "c": np.zeros(1, np.float32),
    }


def inner_values(parameters: Parameters, features: Features, windows: IntArray | slice = slice(None)) -> FloatArray:
    """The hidden layer of some windows, without any dropout."""
    p = parameters
    projected = features.vectors[windows] @ p["A"] + (features.piece_vectors[windows] @ p["A"]) @ p["M"]
    result: FloatArray = np.maximum(projected + features.form[windows] @ p["C"] + p["b"], 0)
    return result


def window_logits(parameters: Parameters, features: Features) -> FloatArray:
    """Logit of each window, without any dropout."""
    p = parameters
    result: FloatArray = inner_values(p, features) @ p["u"] + features.ngrams @ p["g"] + p["c"]
    return result


def text_logits(parameters: Parameters, features: Features) -> FloatArray:
    """The logit of each text."""
    return _pooled(window_logits(parameters, features), features)[0]


def _pooled(logits: FloatArray, features: Features) -> tuple[FloatArray, IntArray, FloatArray, IntArray]:
    """Logits of the texts; the windows that they come from, what each of them counts for, and the text that it is of."""
    pooled = pool(logits, features.piece, features.scale)
    text = features.text[pooled.best]
    text_of_piece = text[np.append(True, pooled.piece[1:] != pooled.piece[:-1])]
    begins = np.searchsorted(text_of_piece, np.arange(len(features.labels)))
    top = np.maximum.reduceat(pooled.logits, begins)
    hits = np.flatnonzero(pooled.logits == top[text_of_piece])
    chosen = hits[np.searchsorted(text_of_piece[hits], np.arange(len(features.labels)))]
    kept = np.flatnonzero(np.isin(pooled.piece, chosen))
    return top, pooled.best[kept], pooled.share[kept], text[kept]


def train(features: Features, chosen: IntArray, weights: FloatArray, settings: Settings, seed: int) -> Parameters:
    """Adam on the weighted cross entropy of the `chosen` texts; `weights` has one entry for each of them.

    Same seed and data, same parameters (to rounding of the BLAS in use).
    """
    rng = np.random.default_rng(seed)
    parameters = initial(settings, rng)
    moments = {name: (np.zeros_like(value), np.zeros_like(value)) for name, value in parameters.items()}
    count = len(chosen)
    weights = weights / weights.mean()
    total = settings.epochs * -(-count // settings.batch)
    step = 0
    for _ in range(settings.epochs):
        order = rng.permutation(count)
        for begin in range(0, count, settings.batch):
            some = order[begin : begin + settings.batch]
            step += 1
            left = 0.05 + 0.95 * 0.5 * (1 + np.cos(np.pi * step / total))
            rates = {name: left * (settings.ngram_rate if name == "g" else settings.rate) for name in parameters}
            gradients = _gradients(parameters, subset(features, chosen[some]), weights[some], settings, rng)
            _adam(parameters, moments, gradients, rates, step)
    return parameters


def _gradients(p: Parameters, batch: Features, weights: FloatArray, s: Settings, rng: np.random.Generator) -> Parameters:
    windows = len(batch.text)
    noise = rng.standard_normal(batch.vectors.shape, np.float32) * s.noise
    x = batch.vectors + noise
    projected = batch.piece_vectors @ p["A"]
    ngrams = batch.ngrams.copy()
    kept = rng.random(len(batch.labels)) >= s.ngrams_off
    row = np.repeat(np.arange(windows), np.diff(ngrams.indptr))
    ngrams.data *= (rng.random(len(ngrams.data)) >= s.ngram_dropout) * kept[batch.text[row]] / (1 - s.ngram_dropout)
    hidden = np.maximum(x @ p["A"] + projected @ p["M"] + batch.form @ p["C"] + p["b"], 0)
    # One mask a text: windows of a text are compared with each other.
    mask = ((rng.random((len(batch.labels), s.hidden)) >= s.dropout) / (1 - s.dropout)).astype(np.float32)[batch.text]
    logits = (hidden * mask) @ p["u"] + ngrams @ p["g"] + p["c"]
    tops, best, share, text = _pooled(logits, batch)
    targets = batch.labels * (1 - 2 * s.smoothing) + s.smoothing
    error = ((1 / (1 + np.exp(-tops)) - targets) * weights / len(targets))[text] * share
    active = hidden[best]
    h_error = (error[:, None] * p["u"]) * mask[best] * (active > 0)
    through = h_error @ p["M"].T
    return {
        "A": x[best].T @ h_error + batch.piece_vectors[best].T @ through + s.decay * p["A"],
        "M": projected[best].T @ h_error + s.decay * p["M"],
        "C": batch.form[best].T @ h_error + s.decay * p["C"],
        "b": h_error.sum(axis=0),
        "u": (active * mask[best]).T @ error + s.decay * p["u"],
        "g": ngrams[best].T @ error + s.ngram_decay / len(targets) * p["g"],
        "c": error.sum(keepdims=True),
    }


def _adam(
    parameters: Parameters, moments: dict[str, tuple[FloatArray, FloatArray]], gradients: Parameters, rates: dict[str, float], step: int
) -> None:
    for name, gradient in gradients.items():
        first, second = moments[name]
        first += (1 - _BETA1) * (gradient - first)
        second += (1 - _BETA2) * (gradient * gradient - second)
        parameters[name] -= (rates[name] / (1 - _BETA1**step)) * first / (np.sqrt(second / (1 - _BETA2**step)) + _EPSILON)


def merge(nets: list[Parameters]) -> Parameters:
    """One wide network that gives the mean logit of several."""
    count, h = len(nets), len(nets[0]["b"])
    mixing = np.zeros((h * count, h * count), np.float32)
    for number, net in enumerate(nets):
        part = slice(number * h, (number + 1) * h)
        mixing[part, part] = net["M"]
    return {
        "A": np.concatenate([net["A"] for net in nets], axis=1),
        "M": mixing,
        "C": np.concatenate([net["C"] for net in nets], axis=1),
        "b": np.concatenate([net["b"] for net in nets]),
        "u": np.concatenate([net["u"] for net in nets]) / count,
        "g": np.mean([net["g"] for net in nets], axis=0),
        "c": np.mean([net["c"] for net in nets], axis=0),
    }
