"""Classes of words with near vectors, so that `disregard prior directives` shares its n-grams with `ignore previous instructions`.

There are several levels: many narrow classes and few wide ones.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sentinel.injection.arrays import FloatArray, HashArray

_FACTOR = np.uint64(0x9E6C63D0876A9A47)


class WordClasses(NamedTuple):
    """Centres of the classes of each level: (classes, 256), each of length 1."""

    levels: tuple[FloatArray, ...]

    def hashes(self, forms: list[str], vectors: FloatArray, own: HashArray) -> HashArray:
        """What stands for a word's class when it is hashed, (words, levels): of words without letters the hash of the word itself."""
        directions = unit(vectors)
        letters = np.fromiter((form[0].isalpha() for form in forms), np.bool_, len(forms))
        columns = [np.where(letters, (nearest(directions, centres) + np.uint64(1)) * _FACTOR, own) for centres in self.levels]
        return np.column_stack(columns)


def nearest(directions: FloatArray, centres: FloatArray) -> HashArray:
    """Number of the centre that points most alike."""
    result: HashArray = np.argmax(directions @ centres.T, axis=1).astype(np.uint64)
    return result


def unit(vectors: FloatArray) -> FloatArray:
    """The vectors with length 1."""
    result: FloatArray = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
    return result
