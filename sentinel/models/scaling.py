"""What is usual for each key: centre and spread of its vectors, from the training data.

A model is trained on all keys together, each measured in its own standard deviations. A key that the training did not see gets the spread
of the others; its centre the detector learns from its first windows.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sentinel.models.errors import ModelError
from sentinel.models.features import FEATURES, NOISE_FLOOR, Floats

LIMIT = 12.0
"""Scaled values are cut here: further away is no more telling, and no score overflows."""
STRANGER = 1.25
"""A key outside the training has at least this multiple of the usual spread, since its centre is known from few windows."""


def key_mark(tenant_id: str, application_id: str, model: str) -> str:
    """A key in a model file: a digest, so that a model names no tenant's applications."""
    return hashlib.sha256(f"{tenant_id}\x1f{application_id}\x1f{model}".encode()).hexdigest()[:24]


@dataclass(frozen=True)
class Scaling:
    """`columns`: which of `FEATURES` the model sees. `centres`, `spreads`: (keys, 6) by `marks`; `pooled`: the spread of a stranger (6,)."""

    columns: tuple[int, ...]
    marks: dict[str, int]
    centres: Floats
    spreads: Floats
    pooled: Floats

    def of_key(self, mark: str) -> tuple[Floats, Floats] | None:
        """Centre and spread of a trained key, else None."""
        row = self.marks.get(mark)
        return None if row is None else (self.centres[row], self.spreads[row])

    def scale(self, rows: Floats, centre: Floats, spread: Floats) -> Floats:
        """Standard deviations from the centre, the model's columns only; what is unknown counts as usual."""
        picked = list(self.columns)
        scaled = (rows[:, picked] - centre[picked]) / spread[picked]
        scaled[~np.isfinite(scaled)] = 0.0
        return np.asarray(np.clip(scaled, -LIMIT, LIMIT))

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        return {
            "scaling_columns": np.array(self.columns, np.int64),
            "scaling_marks": np.array(list(self.marks), "U24"),
            "scaling_centres": self.centres,
            "scaling_spreads": self.spreads,
            "scaling_pooled": self.pooled,
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, npt.NDArray[np.generic]]) -> Scaling:
        """Raises ModelError (a shape that does not fit) or KeyError (an array that is missing)."""
        marks = [str(mark) for mark in arrays["scaling_marks"]]
        found = cls(
            tuple(int(column) for column in arrays["scaling_columns"]),
            {mark: row for row, mark in enumerate(marks)},
            arrays["scaling_centres"].astype(np.float64),
            arrays["scaling_spreads"].astype(np.float64),
            arrays["scaling_pooled"].astype(np.float64),
        )
        wide = (len(marks), len(FEATURES))
        if found.centres.shape != wide or found.spreads.shape != wide or found.pooled.shape != (len(FEATURES),):
            raise ModelError(f"scaling arrays: expected shapes {wide} and {wide[1:]}, found {found.centres.shape}, {found.spreads.shape}")
        if not found.columns or not all(0 <= column < len(FEATURES) for column in found.columns):
            raise ModelError(f"scaling columns: expected numbers from 0 to {len(FEATURES) - 1}, found {found.columns}")
        if not (np.all(found.spreads > 0.0) and np.all(found.pooled > 0.0) and np.all(np.isfinite(found.centres))):
            raise ModelError("scaling arrays: expected finite centres and spreads above zero")
        return found


def robust_scaling(rows: Floats, keys: npt.NDArray[np.int64], marks: list[str], columns: tuple[int, ...], least: int) -> Scaling:
    """Median and 1.4826 x median absolute deviation of each key with at least `least` rows; trouble in the training moves them little.

    Raises:
        ModelError: no key has enough rows.
    """
    centres: list[Floats] = []
    spreads: list[Floats] = []
    kept: dict[str, int] = {}
    for number, mark in enumerate(marks):
        own = rows[keys == number]
        if len(own) < least:
            continue
        kept[mark] = len(centres)
        usual = [_usual(column[np.isfinite(column)]) for column in own.T]
        centres.append(np.array([centre for centre, _ in usual]))
        spreads.append(np.maximum(NOISE_FLOOR, [spread for _, spread in usual]))
    if not centres:
        raise ModelError(
            f"expected at least one key with {least} minutes of traffic, found none among {len(marks)} keys; train on a longer past"
        )
    wide = np.array(spreads)
    return Scaling(columns, kept, np.array(centres), wide, np.maximum(NOISE_FLOOR, STRANGER * np.median(wide, axis=0)))


def _usual(values: Floats) -> tuple[float, float]:
    """Centre and spread of one column at one key."""
    if not len(values):
        return 0.0, 0.0
    centre = float(np.median(values))
    robust = 1.4826 * float(np.median(np.abs(values - centre)))
    # The error share is 0 in most minutes: how it varies is told by its trimmed standard deviation, not by the median.
    trimmed = float(np.std(np.clip(values, *np.quantile(values, [0.005, 0.995]))))
    return centre, robust if robust > 0.5 * trimmed else trimmed
