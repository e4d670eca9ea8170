"""An LSTM small enough that numpy trains it: one layer, truncated back-propagation over the whole (short) sequence, Adam."""

from __future__ import annotations

import numpy as np

from sentinel.models.features import Floats
from sentinel.models.scorers import PAST_LIMIT, Arrays, LstmScorer


def fit_lstm(rows: Floats, rng: np.random.Generator, hidden: int = 12, epochs: int = 12, batch: int = 128) -> Arrays:
    """Predict the last window of each sequence (n, steps, columns) from those before it. Keeps the weights that were best on held-out ends."""
    from services.models.fitting import whitening

    data = np.clip(rows if len(rows) <= 12_000 else rows[np.sort(rng.choice(len(rows), 12_000, replace=False))], -PAST_LIMIT, PAST_LIMIT)
    cut = max(1, int(0.85 * len(data)))
    train, held = data[:cut], data[cut:] if cut < len(data) else data
    columns = data.shape[2]
    weights = {
        "wx": rng.normal(0.0, 1.0 / np.sqrt(columns), (columns, 4 * hidden)),
        "wh": rng.normal(0.0, 1.0 / np.sqrt(hidden), (hidden, 4 * hidden)),
        "b": np.concatenate((np.zeros(hidden), np.ones(hidden), np.zeros(2 * hidden))),
        "wy": rng.normal(0.0, 0.1, (hidden, columns)),
        "by": np.zeros(columns),
    }
    first = {name: np.zeros_like(value) for name, value in weights.items()}
    second = {name: np.zeros_like(value) for name, value in weights.items()}
    best, best_loss, step = {name: value.copy() for name, value in weights.items()}, np.inf, 0
    for _ in range(epochs):
        order = rng.permutation(len(train))
        for begin in range(0, len(order), batch):
            part = train[order[begin : begin + batch]]
            step += 1
            for name, gradient in _gradients(weights, part).items():
                gradient = np.clip(gradient, -1.0, 1.0)
                first[name] = 0.9 * first[name] + 0.1 * gradient
                second[name] = 0.999 * second[name] + 0.001 * gradient**2
                rate = 5e-3 * np.sqrt(1.0 - 0.999**step) / (1.0 - 0.9**step)
                weights[name] = weights[name] - rate * first[name] / (np.sqrt(second[name]) + 1e-8)
        loss = float(((held[:, -1] - _predict(weights, held[:, :-1])) ** 2).mean())
        if loss < best_loss:
            best_loss, best = loss, {name: value.copy() for name, value in weights.items()}
    arrays: Arrays = {**best, "whiten": whitening(data[:, -1] - _predict(best, data[:, :-1]))}
    return arrays


def _predict(weights: dict[str, Floats], past: Floats) -> Floats:
    return LstmScorer({**weights, "whiten": np.eye(past.shape[2])}, past.shape[2]).predict(past)


def _gradients(weights: dict[str, Floats], part: Floats) -> dict[str, Floats]:
    """Of the mean squared error of the prediction; exact (a test compares them with finite differences)."""
    size, steps = len(part), part.shape[1] - 1
    hidden = len(weights["wh"])
    h, c = np.zeros((size, hidden)), np.zeros((size, hidden))
    kept = []
    for step in range(steps):
        before_h, before_c = h, c
        gates = part[:, step] @ weights["wx"] + h @ weights["wh"] + weights["b"]
        i, f, g, o = (1.0 / (1.0 + np.exp(-gates[:, :hidden])), 1.0 / (1.0 + np.exp(-gates[:, hidden : 2 * hidden])),
                      np.tanh(gates[:, 2 * hidden : 3 * hidden]), 1.0 / (1.0 + np.exp(-gates[:, 3 * hidden :])))  # fmt: skip
        c = f * c + i * g
        h = o * np.tanh(c)
        kept.append((before_h, before_c, i, f, g, o, c))
    off = 2.0 * (h @ weights["wy"] + weights["by"] - part[:, -1]) / part[:, -1].size
    found = {"wy": h.T @ off, "by": off.sum(axis=0), "wx": np.zeros_like(weights["wx"]), "wh": np.zeros_like(weights["wh"])}
    found["b"] = np.zeros_like(weights["b"])
    dh, dc = off @ weights["wy"].T, np.zeros((size, hidden))
    for step in range(steps - 1, -1, -1):
        before_h, before_c, i, f, g, o, c = kept[step]
        squashed = np.tanh(c)
        dc = dc + dh * o * (1.0 - squashed**2)
        dgates = np.hstack((dc * g * i * (1.0 - i), dc * before_c * f * (1.0 - f), dc * i * (1.0 - g**2), dh * squashed * o * (1.0 - o)))
        found["wx"] += part[:, step].T @ dgates
        found["wh"] += before_h.T @ dgates
        found["b"] += dgates.sum(axis=0)
        dh, dc = dgates @ weights["wh"].T, dc * f
    return found
