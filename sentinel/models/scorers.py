"""Scoring code of each kind of model: plain arrays in, one score a row out, vectorised over rows. Higher is stranger.

Nothing here trains, and no other library is needed to score: a model file is arrays and nothing else.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from sentinel.models.errors import ModelError
from sentinel.models.features import Floats

Arrays = dict[str, npt.NDArray[np.generic]]
SEQUENCE = 6
"""Windows that a sequence model sees: five of the past, and the one that is judged."""
PAST_LIMIT = 4.0


class Scorer(ABC):
    """`score(rows)`: rows (n, columns) in standard deviations; sequence models take (n, SEQUENCE, columns)."""

    kind: ClassVar[str]
    names: ClassVar[tuple[str, ...]]
    """Arrays of the model file."""
    sequence: ClassVar[bool] = False

    def __init__(self, arrays: Arrays, columns: int) -> None:
        missing = [name for name in self.names if name not in arrays]
        if missing:
            raise ModelError(f"a model of kind {self.kind} has the arrays {', '.join(self.names)}; missing: {', '.join(missing)}")
        self.arrays: Arrays = {name: arrays[name] for name in self.names}
        for name, array in self.arrays.items():
            if array.size == 0 or (array.dtype.kind == "f" and not np.all(np.isfinite(array))):
                raise ModelError(f"array {name} of the model: expected finite numbers, found {'none' if not array.size else 'others'}")
        self.columns = columns
        self.check()

    @abstractmethod
    def check(self) -> None:
        """Raises ModelError when shapes do not fit."""

    @abstractmethod
    def score(self, rows: Floats) -> Floats:
        """One score a row."""

    def _floats(self, name: str) -> Floats:
        return self.arrays[name].astype(np.float64)

    def _expect(self, name: str, *shape: int | None) -> None:
        found = self.arrays[name].shape
        if len(found) != len(shape) or any(want is not None and want != have for want, have in zip(shape, found, strict=True)):
            raise ModelError(f"array {name} of the model: expected shape {shape}, found {found}")


class _WhiteScorer(Scorer):
    """Base of the scorers that look at uncorrelated columns: latency and its percentile move together, and either alone would be strange."""

    def check(self) -> None:
        self._expect("whiten", self.columns, self.columns)
        self._whiten = self._floats("whiten")


def average_path(count: float) -> float:
    """Average path length of an unsuccessful search in a binary search tree of `count` values (Liu, Ting, Zhou 2008, equation 1)."""
    if count <= 1.0:
        return 0.0
    return 1.0 if count <= 2.0 else 2.0 * (math.log(count - 1.0) + 0.5772156649015329) - 2.0 * (count - 1.0) / count


class IsolationForestScorer(_WhiteScorer):
    """2 ** (-mean path length / expected one), over all trees at once. Leaves lead to themselves.

    The trees see two columns more: how far the furthest column is off, and the length of the whole row.
    """

    kind = "isolation_forest"
    names = ("whiten", "feature", "threshold", "left", "right", "length", "sample_size")

    def check(self) -> None:
        super().check()
        trees, nodes = self.arrays["feature"].shape if self.arrays["feature"].ndim == 2 else (0, 0)
        for name in ("feature", "threshold", "left", "right", "length"):
            self._expect(name, trees, nodes)
        self._feature = self.arrays["feature"].astype(np.int64)
        self._children = np.stack((self.arrays["left"], self.arrays["right"])).astype(np.int64)
        if not trees or self._feature.min() < 0 or self._feature.max() >= self.columns + 2:
            raise ModelError(f"trees of the model: expected features 0 to {self.columns + 1}")
        if self._children.min() < 0 or self._children.max() >= nodes:
            raise ModelError(f"trees of the model: expected child nodes 0 to {nodes - 1}")
        self._threshold, self._length = self._floats("threshold"), self._floats("length")
        self._expected = average_path(float(np.ravel(self.arrays["sample_size"])[0]))
        self._depth = int(self._length.max()) + 1
        # One flat index a node: tree * nodes + node.
        offsets = (np.arange(trees) * nodes)[:, None]
        self._roots = offsets[:, 0]
        self._flat_children = (self._children + offsets).reshape(2, -1)
        self._flat = (self._feature.ravel(), self._threshold.ravel(), self._length.ravel())

    def score(self, rows: Floats) -> Floats:
        rows = with_size(rows @ self._whiten)
        feature, threshold, length = self._flat
        node = np.broadcast_to(self._roots, (len(rows), len(self._roots)))
        each = np.arange(len(rows))[:, None]
        for _ in range(self._depth):
            right = rows[each, feature[node]] > threshold[node]
            deeper = np.where(right, self._flat_children[1][node], self._flat_children[0][node])
            if np.array_equal(deeper, node):
                break
            node = deeper
        scores: Floats = 2.0 ** (-length[node].mean(axis=1) / self._expected)
        return scores


class KMeansScorer(_WhiteScorer):
    """Distance to the nearest centre, in units of that cluster's typical distance."""

    kind = "kmeans"
    names = ("whiten", "centres", "radii")

    def check(self) -> None:
        super().check()
        self._expect("centres", None, self.columns)
        self._expect("radii", len(self.arrays["centres"]))
        self._centres, self._radii = self._floats("centres"), self._floats("radii")
        if self._radii.min() <= 0.0:
            raise ModelError("array radii of the model: expected numbers above zero")

    def score(self, rows: Floats) -> Floats:
        return np.asarray((_distances(rows @ self._whiten, self._centres) / self._radii).min(axis=1))


class DbscanScorer(_WhiteScorer):
    """Distance to the nearest core point, in units of eps: above 1 the window would be noise."""

    kind = "dbscan"
    names = ("whiten", "cores", "eps")

    def check(self) -> None:
        super().check()
        self._expect("cores", None, self.columns)
        self._expect("eps", 1)
        self._cores, self._eps = self._floats("cores"), float(self._floats("eps")[0])
        if self._eps <= 0.0:
            raise ModelError("array eps of the model: expected a number above zero")

    def score(self, rows: Floats) -> Floats:
        white = rows @ self._whiten
        return np.concatenate(
            [_distances(part, self._cores).min(axis=1) / self._eps for part in np.array_split(white, len(rows) // 2048 + 1)]
        )


class AutoencoderScorer(Scorer):
    """How far the reconstruction is off, and how far the code at the bottleneck is from the usual: their length in whitened units."""

    kind = "autoencoder"
    names = ("w1", "b1", "w2", "b2", "w3", "b3", "w4", "b4", "middle", "whiten")

    def check(self) -> None:
        width = self.columns
        for number in range(1, 5):
            self._expect(f"w{number}", width, None)
            width = self.arrays[f"w{number}"].shape[1]
            self._expect(f"b{number}", width)
        if width != self.columns:
            raise ModelError(f"layers of the model: expected {self.columns} outputs, found {width}")
        both = self.columns + self.arrays["w2"].shape[1]
        self._expect("middle", both)
        self._expect("whiten", both, both)
        self._layers = [(self._floats(f"w{n}"), self._floats(f"b{n}")) for n in range(1, 5)]
        self._middle, self._whiten = self._floats("middle"), self._floats("whiten")

    def apart(self, rows: Floats) -> Floats:
        """(n, columns + bottleneck): error of each column, and the code."""
        (w1, b1), (w2, b2), (w3, b3), (w4, b4) = self._layers
        code = np.tanh(rows @ w1 + b1) @ w2 + b2
        return np.hstack((rows - (np.tanh(np.tanh(code) @ w3 + b3) @ w4 + b4), code))

    def score(self, rows: Floats) -> Floats:
        return np.asarray(np.linalg.norm((self.apart(rows) - self._middle) @ self._whiten, axis=1))


class LstmScorer(Scorer):
    """Error of the prediction of the last window from those before it (one LSTM layer, gates i, f, g, o): its length in whitened units."""

    kind = "lstm"
    names = ("wx", "wh", "b", "wy", "by", "whiten")
    sequence = True

    def check(self) -> None:
        hidden = self.arrays["wh"].shape[0]
        self._expect("wx", self.columns, 4 * hidden)
        self._expect("wh", hidden, 4 * hidden)
        self._expect("b", 4 * hidden)
        self._expect("wy", hidden, self.columns)
        self._expect("by", self.columns)
        self._expect("whiten", self.columns, self.columns)
        self._wx, self._wh, self._b = self._floats("wx"), self._floats("wh"), self._floats("b")
        self._wy, self._by, self._whiten = self._floats("wy"), self._floats("by"), self._floats("whiten")

    def predict(self, past: Floats) -> Floats:
        """The window after `past` (n, steps, columns)."""
        # The past is cut closer than the present: an outlier that has just passed must not make the next window look strange.
        past = np.clip(past, -PAST_LIMIT, PAST_LIMIT)
        hidden = cell = np.zeros((len(past), len(self._wh)))
        for step in range(past.shape[1]):
            gates = past[:, step] @ self._wx + hidden @ self._wh + self._b
            keep_in, forget, new, out = np.split(gates, 4, axis=1)
            cell = _sigmoid(forget) * cell + _sigmoid(keep_in) * np.tanh(new)
            hidden = _sigmoid(out) * np.tanh(cell)
        return np.asarray(hidden @ self._wy + self._by)

    def score(self, rows: Floats) -> Floats:
        return np.asarray(np.linalg.norm((rows[:, -1] - self.predict(rows[:, :-1])) @ self._whiten, axis=1))


def with_size(rows: Floats) -> Floats:
    """Rows with the largest deviation and the root mean square of all as two more columns."""
    return np.column_stack((rows, np.abs(rows).max(axis=1), np.sqrt((rows**2).mean(axis=1))))


def _distances(rows: Floats, points: Floats) -> Floats:
    return np.asarray(np.sqrt(np.maximum(0.0, ((rows[:, None, :] - points[None, :, :]) ** 2).sum(axis=2))))


def _sigmoid(values: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(values, -40.0, 40.0))))


SCORERS: dict[str, type[Scorer]] = {
    scorer.kind: scorer for scorer in (IsolationForestScorer, AutoencoderScorer, LstmScorer, DbscanScorer, KMeansScorer)
}
