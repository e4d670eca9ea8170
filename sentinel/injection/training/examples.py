"""Texts with labels, as numbers ready for training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import sparse

from sentinel.injection.arrays import FloatArray, IntArray
from sentinel.injection.features import (
    BUCKETS,
    form_features,
    ngram_buckets,
    ngram_scale,
    pieces_of,
    word_buckets,
)
from sentinel.injection.vocabulary import VECTOR_SIZE, Vocabulary, WordVectors
from sentinel.injection.windows import (
    Windows,
    block_sums,
    piece_sums,
    window_lengths,
    window_sums,
    windows_of,
)
from sentinel.injection.word_classes import WordClasses, nearest, unit
from sentinel.injection.words import normal_form, split_words

_K_MEANS_ROUNDS = 10


class Example(NamedTuple):
    """A text with its label (1 = injection) and the family that it is held out with."""

    text: str
    label: int
    family: str


class Features(NamedTuple):
    """One row a window, except `labels`, which has one a text."""

    vectors: FloatArray
    """Mean word vector of the window: (windows, 256)."""
    piece_vectors: FloatArray
    """Mean word vector of the piece that the window is of: (windows, 256)."""
    form: FloatArray
    ngrams: sparse.csr_matrix
    """(windows, BUCKETS), scaled."""
    text: IntArray
    """Number of the text that a window belongs to; ascending."""
    piece: IntArray
    """Number of the piece that a window is of; ascending."""
    scale: IntArray
    labels: FloatArray
    first_window: IntArray
    """First window of each text, and the end behind the last."""


def classes_of(examples: Sequence[Example], vectors: WordVectors, counts: Sequence[int], seed: int) -> WordClasses:
    """Classes of the words of the examples, one level for each count."""
    forms = sorted({form for example in examples for word in set(split_words(example.text)) if (form := normal_form(word))[0].isalpha()})
    directions = unit(vectors.of(forms))
    return WordClasses(tuple(_k_means(directions, count, seed) for count in counts))


def _k_means(directions: FloatArray, count: int, seed: int) -> FloatArray:
    """Spherical k-means (Dhillon and Modha 2001), started at random words."""
    rng = np.random.default_rng(seed)
    centres: FloatArray = directions[rng.permutation(len(directions))[:count]]
    for _ in range(_K_MEANS_ROUNDS):
        own = nearest(directions, centres).astype(np.int64)
        members = sparse.csr_matrix((np.ones(len(own), np.float32), (own, np.arange(len(own)))), shape=(count, len(own)))
        sums = members @ directions
        filled = np.linalg.norm(sums, axis=1) > 1e-6
        centres = np.where(filled[:, None], unit(sums), centres)
    return centres


def featurise(examples: Sequence[Example], vectors: WordVectors, classes: WordClasses) -> Features:
    """Features of all examples, in order."""
    forms: list[str] = []

    def keep(new: list[str], values: FloatArray) -> FloatArray:
        forms.extend(new)
        return values

    vocabulary = Vocabulary(vectors, classes, VECTOR_SIZE, keep)
    empty = vocabulary["."]
    pieces, rows = pieces_of([example.text for example in examples], vocabulary)
    order = np.argsort(pieces.owner, kind="stable")
    pieces = pieces._replace(**{name: [getattr(pieces, name)[i] for i in order] for name in pieces._fields})
    windows = windows_of([rows[i] for i in order], vocabulary, empty)
    sizes = window_lengths(windows)
    word_vectors = vocabulary.table[: len(vocabulary)]
    sums = np.empty((len(windows.piece), VECTOR_SIZE), np.float32)
    piece_means = np.empty((len(windows.lengths), VECTOR_SIZE), np.float32)
    for column in range(0, VECTOR_SIZE, 32):
        blocks = block_sums(word_vectors[windows.rows, column : column + 32], windows)
        sums[:, column : column + 32] = window_sums(blocks, windows)
        piece_means[:, column : column + 32] = piece_sums(blocks, windows)
    piece_means /= windows.lengths[:, None]
    text = np.array(pieces.owner, np.int64)[windows.piece]
    return Features(
        vectors=sums / sizes[:, None],
        piece_vectors=piece_means[windows.piece],
        form=form_features(window_sums(block_sums(vocabulary.flags[windows.rows], windows), windows), windows, pieces),
        ngrams=_ngrams(vocabulary, forms, windows, sizes),
        text=text,
        piece=windows.piece,
        scale=windows.scale,
        labels=np.array([example.label for example in examples], np.float32),
        first_window=np.searchsorted(text, np.arange(len(examples) + 1)),
    )


def _ngrams(vocabulary: Vocabulary, forms: list[str], w: Windows, sizes: FloatArray) -> sparse.csr_matrix:
    own = [word_buckets(form) for form in forms]
    per_word = sparse.csr_matrix(
        (
            np.array([value for buckets in own for value in buckets.values()], np.float32),
            np.array([bucket for buckets in own for bucket in buckets], np.int64),
            np.cumsum([0, *map(len, own)]),
        ),
        shape=(len(forms), BUCKETS),
    )
    blocks = len(w.block_start)
    block = np.repeat(np.arange(blocks), np.diff(np.append(w.block_start, len(w.rows))))
    words = sparse.csr_matrix((np.ones(len(block), np.float32), (block, w.rows)), shape=(blocks, len(forms)))
    result = (words @ per_word).tocsr()
    for buckets in ngram_buckets(vocabulary.hashes[w.rows], vocabulary.class_hashes[w.rows], w.position):
        valid = buckets > 0
        ones = np.ones(int(valid.sum()), np.float32)
        result = result + sparse.csr_matrix((ones, (block[valid], buckets[valid])), shape=(blocks, BUCKETS))
    counts = w.last_block - w.first_block + 1
    ends = np.cumsum(counts)
    columns = np.arange(int(ends[-1])) - np.repeat(ends - counts - w.first_block, counts)
    members = sparse.csr_matrix((np.ones(len(columns), np.float32), columns, np.append(0, ends)), shape=(len(w.piece), blocks))
    return (sparse.diags(ngram_scale(sizes)) @ members @ result).tocsr().astype(np.float32)


def subset(features: Features, chosen: IntArray) -> Features:
    """The features of some texts, in the order given."""
    counts = np.diff(features.first_window)[chosen]
    ends = np.cumsum(counts)
    rows = (
        np.arange(int(ends[-1]) if len(ends) else 0) - np.repeat(ends - counts, counts) + np.repeat(features.first_window[chosen], counts)
    )
    return Features(
        features.vectors[rows],
        features.piece_vectors[rows],
        features.form[rows],
        features.ngrams[rows],
        np.repeat(np.arange(len(chosen)), counts),
        # Pieces are told apart by neighbours alone; the same piece never stands twice in a row.
        features.piece[rows],
        features.scale[rows],
        features.labels[chosen],
        np.concatenate(([0], ends)),
    )
