"""How each kind of model is fitted to scaled rows: scikit-learn does the work, and plain arrays are what remains of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sentinel.models.features import Floats
from sentinel.models.scaling import LIMIT
from sentinel.models.scorers import Arrays, AutoencoderScorer, average_path, with_size
from services.models.lstm import fit_lstm

TRAINING_LIMIT = 5.0
"""Scaled values are cut here for training: outliers of the past must not shape what is usual."""
MAX_POINTS = 20_000
MAX_CORES = 1_500


def isolation_forest(rows: Floats, rng: np.random.Generator, trees: int = 128, sample_size: int = 256, dust_share: float = 0.05) -> Arrays:
    """Liu, Ting, Zhou 2008, with a little dust: copies of rows in which one to three columns lie anywhere.

    Without it no tree cuts outside of what it saw, and a window twice as far off as any before looks no stranger than the strangest of them.
    """
    from sklearn.ensemble import IsolationForest

    whiten = whitening(rows)
    rows = np.clip(rows, -TRAINING_LIMIT, TRAINING_LIMIT) @ whiten
    dusty = rows[rng.integers(0, len(rows), round(min(1.0, dust_share) * len(rows)))].copy()
    for row in dusty:
        row[rng.choice(len(row), min(len(row), int(rng.integers(1, 4))), replace=False)] = rng.uniform(-LIMIT, LIMIT)
    rows = with_size(np.vstack((rows, dusty)))
    size = min(sample_size, len(rows))
    forest = IsolationForest(n_estimators=trees, max_samples=size, random_state=int(rng.integers(2**31)), n_jobs=1).fit(rows)
    grown = [tree.tree_ for tree in forest.estimators_]
    nodes = max(tree.node_count for tree in grown)
    feature, left, right = (np.zeros((trees, nodes), np.int32) for _ in range(3))
    threshold, length = np.zeros((trees, nodes)), np.zeros((trees, nodes))
    for number, tree in enumerate(grown):
        own = np.arange(tree.node_count)
        leaf = tree.children_left < 0
        feature[number, own] = np.where(leaf, 0, tree.feature)
        left[number, own] = np.where(leaf, own, tree.children_left)
        right[number, own] = np.where(leaf, own, tree.children_right)
        threshold[number, own] = np.where(leaf, 0.0, tree.threshold)
        depth = np.zeros(tree.node_count)
        for node in own[~leaf]:
            depth[tree.children_left[node]] = depth[tree.children_right[node]] = depth[node] + 1.0
        length[number, own] = np.where(leaf, depth + [average_path(float(count)) for count in tree.n_node_samples], 0.0)
    return {
        "whiten": whiten, "feature": feature, "threshold": threshold, "left": left, "right": right, "length": length, "sample_size": np.array([float(size)]),
    }  # fmt: skip


def kmeans(rows: Floats, rng: np.random.Generator, clusters: int = 8) -> Arrays:
    """Centres, and the typical (root mean square) distance of each one's members."""
    from sklearn.cluster import KMeans

    whiten = whitening(rows)
    picked = _sample(rows, rng, MAX_POINTS) @ whiten
    fitted = KMeans(min(clusters, len(picked)), n_init=4, random_state=int(rng.integers(2**31))).fit(picked)
    distance = np.linalg.norm(picked - fitted.cluster_centers_[fitted.labels_], axis=1)
    typical = float(np.sqrt((distance**2).mean())) or 1.0
    radii = [
        float(np.sqrt((own**2).mean())) if len(own := distance[fitted.labels_ == number]) >= 10 else typical
        for number in range(len(fitted.cluster_centers_))
    ]
    return {"whiten": whiten, "centres": fitted.cluster_centers_.astype(np.float64), "radii": np.maximum(radii, 0.25 * typical)}


def dbscan(rows: Floats, rng: np.random.Generator, min_samples: int = 8, eps_quantile: float = 0.95) -> Arrays:
    """Core points; eps is a high quantile of the distance to the `min_samples`-th neighbour (Ester et al. 1996, section 4.2)."""
    from sklearn.cluster import DBSCAN
    from sklearn.neighbors import NearestNeighbors

    whiten = whitening(rows)
    picked = _sample(rows, rng, MAX_POINTS // 4) @ whiten
    near = NearestNeighbors(n_neighbors=min(min_samples, len(picked))).fit(picked)
    eps = max(1e-3, float(np.quantile(near.kneighbors(picked)[0][:, -1], eps_quantile)))
    fitted = DBSCAN(eps=eps, min_samples=min_samples).fit(picked)
    cores = picked[fitted.core_sample_indices_]
    if not len(cores):
        cores = picked
    return {"whiten": whiten, "cores": _sample(cores, rng, MAX_CORES).astype(np.float64), "eps": np.array([eps])}


def autoencoder(rows: Floats, rng: np.random.Generator, hidden: int = 12, bottleneck: int = 3) -> Arrays:
    """A network of two tanh layers down to the bottleneck and one up, trained to give back what it is given, with noise put in."""
    from sklearn.neural_network import MLPRegressor

    picked = np.clip(_sample(rows, rng, MAX_POINTS), -TRAINING_LIMIT, TRAINING_LIMIT)
    noisy = picked + rng.normal(0.0, 0.2, picked.shape)
    network = MLPRegressor(
        hidden_layer_sizes=(hidden, bottleneck, hidden), activation="tanh", solver="adam", max_iter=120, early_stopping=True, n_iter_no_change=10,
        batch_size=min(256, len(picked)), learning_rate_init=3e-3, random_state=int(rng.integers(2**31)),
    ).fit(noisy, picked)  # fmt: skip
    both = rows.shape[1] + bottleneck
    arrays: Arrays = {"middle": np.zeros(both), "whiten": np.eye(both)}
    for number, (weights, bias) in enumerate(zip(network.coefs_, network.intercepts_, strict=True), start=1):
        arrays[f"w{number}"], arrays[f"b{number}"] = weights, bias
    apart = AutoencoderScorer(arrays, rows.shape[1]).apart(picked)
    middle = apart.mean(axis=0)
    arrays["middle"], arrays["whiten"] = middle, whitening(apart - middle, limit=np.inf)
    return arrays


def whitening(rows: Floats, limit: float = TRAINING_LIMIT) -> Floats:
    """The matrix that makes the columns uncorrelated (ZCA), from rows without their outliers; never stretching noise more than tenfold."""
    covariance = np.cov(np.clip(rows, -limit, limit), rowvar=False).reshape(rows.shape[1], rows.shape[1])
    values, axes = np.linalg.eigh(covariance)
    return np.asarray(axes @ np.diag(1.0 / np.sqrt(np.maximum(values, 0.01))) @ axes.T)


def _sample(rows: Floats, rng: np.random.Generator, most: int) -> Floats:
    return rows if len(rows) <= most else rows[rng.choice(len(rows), most, replace=False)]


FITS: dict[str, Callable[..., Arrays]] = {
    "isolation_forest": isolation_forest,
    "kmeans": kmeans,
    "dbscan": dbscan,
    "autoencoder": autoencoder,
    "lstm": fit_lstm,
}
"""`fit(rows, rng, **settings)`; the LSTM takes sequences (n, steps, columns)."""


def settings_of(kind: str) -> dict[str, Any]:
    """Names and defaults of a kind's settings."""
    import inspect

    return {name: p.default for name, p in inspect.signature(FITS[kind]).parameters.items() if p.default is not inspect.Parameter.empty}
