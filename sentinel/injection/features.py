"""Texts as numbers: pieces of texts, hashed n-grams of words, and marks of form. Vectorised over a batch of texts; training and scoring share it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from xxhash import xxh3_64_intdigest

from sentinel.injection.arrays import FloatArray, HashArray, IntArray
from sentinel.injection.obfuscation import View, encodable, may_hide, views, visible
from sentinel.injection.vocabulary import FLAGS, Vocabulary
from sentinel.injection.windows import Windows, window_lengths
from sentinel.injection.words import split_words

BUCKET_BITS = 18
BUCKETS = 1 << BUCKET_BITS
NO_BUCKET = 0
"""Where n-grams go that would reach over the beginning of a text; its weight is 0."""

NGRAMS: Final = ((1,), (2,), (1, 2), (3,))
"""Which earlier words make an n-gram with a word: the one before, the one before that, both, the third before."""

CLASS_NGRAMS: Final = ((), (1,), (2,), (1, 2), (3,))
"""The same for the classes of words; () is the class alone."""

FORM: Final = (
    *(f"share of {flag}" for flag in FLAGS),
    "length",
    "share of the text",
    "first window",
    "last window",
    "decoded",
    "invisible characters",
)

_FACTORS: Final = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93], np.uint64)
_CHARACTER_SHARE: Final = 0.5


class Pieces(NamedTuple):
    """The texts of a batch with the views of their hidden parts: one entry a piece, in the order of the texts."""

    texts: list[str]
    owner: list[int]
    """Number of the text in the batch that it is a view of."""
    views: list[View | None]
    """None for the text itself."""
    invisible: list[bool]


def pieces_of(texts: Sequence[str], vocabulary: Vocabulary) -> tuple[Pieces, list[list[int]]]:
    """Every text with its views, and the vocabulary rows of each piece."""
    pieces = Pieces([], [], [], [])
    rows: list[list[int]] = []
    look_up = vocabulary.__getitem__
    texts = [encodable(text) for text in texts]
    for owner, original in enumerate(texts):
        text = visible(original)
        words = list(map(look_up, split_words(text)))
        rows.append(words)
        _append(pieces, text, owner, None, text is not original)
    vocabulary.complete()
    disguised = vocabulary.flags[:, 2:5]
    counts = _sums(disguised, rows)
    hidden = [number for number, text in enumerate(texts) if counts[number].any() or may_hide(text)]
    for number in hidden:
        kinds = [0, *counts[number].astype(int).tolist()]
        for view in views(pieces.texts[number] if not pieces.invisible[number] else texts[number], kinds):
            rows.append(list(map(look_up, split_words(view.text))))
            _append(pieces, view.text, number, view, False)
    vocabulary.complete()
    return pieces, rows


def _append(pieces: Pieces, text: str, owner: int, view: View | None, invisible: bool) -> None:
    pieces.texts.append(text)
    pieces.owner.append(owner)
    pieces.views.append(view)
    pieces.invisible.append(invisible)


def _sums(values: FloatArray, rows: list[list[int]]) -> FloatArray:
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    flat = np.array([row for words in rows for row in words], np.int64)
    total = np.zeros((len(rows), values.shape[1]), np.float32)
    marked = np.flatnonzero(values[flat].any(axis=1)) if len(flat) else np.empty(0, np.int64)
    if len(marked):
        np.add.at(total, np.searchsorted(np.cumsum(lengths), marked, side="right"), values[flat[marked]])
    return total


def ngram_buckets(words: HashArray, classes: HashArray, position: IntArray) -> IntArray:
    """Bucket of each n-gram that ends at a word, of words and of classes: (all n-grams, words); `NO_BUCKET` where it would begin before the text."""
    parts = [_buckets(words, position, NGRAMS, 0)]
    parts += [_buckets(classes[:, level], position, CLASS_NGRAMS, 100 + 50 * level) for level in range(classes.shape[1])]
    return np.concatenate(parts)


def _buckets(hashes: HashArray, position: IntArray, ngrams: tuple[tuple[int, ...], ...], salt: int) -> IntArray:
    result = np.zeros((len(ngrams), len(hashes)), np.int64)
    earlier = {distance: np.concatenate((np.zeros(distance, np.uint64), hashes[:-distance]))[: len(hashes)] for distance in (1, 2, 3)}
    for number, distances in enumerate(ngrams):
        mixed = hashes * _FACTORS[0] + np.uint64(number + salt)
        for distance in distances:
            mixed = (mixed ^ (mixed >> np.uint64(29))) * _FACTORS[distance] + earlier[distance]
        mixed ^= mixed >> np.uint64(32)
        mixed *= _FACTORS[0]
        result[number] = np.where(
            position >= max(distances, default=0), np.maximum((mixed >> np.uint64(64 - BUCKET_BITS)).astype(np.int64), 1), NO_BUCKET
        )
    return result


def word_buckets(form: str) -> dict[int, float]:
    """Buckets of a word itself and of its character 3- and 4-grams, with their weights."""
    shift = 64 - BUCKET_BITS
    result = {max(xxh3_64_intdigest(form.encode()) >> shift, 1): 1.0}
    if form[0].isalpha() and len(form) > 3:
        padded = f"^{form}$"
        grams = [padded[place : place + size] for size in (3, 4) for place in range(len(padded) - size + 1)]
        weight = _CHARACTER_SHARE / len(grams) ** 0.5
        for gram in grams:
            bucket = max(xxh3_64_intdigest(gram.encode(), seed=7) >> shift, 1)
            result[bucket] = result.get(bucket, 0.0) + weight
    return result


def ngram_scale(lengths: FloatArray) -> FloatArray:
    """What sums of n-gram weights are multiplied with, so that long windows do not score higher than short ones."""
    result: FloatArray = (1.0 / np.sqrt(np.maximum(lengths, 12.0))).astype(np.float32)
    return result


def form_features(flag_sums: FloatArray, windows: Windows, pieces: Pieces) -> FloatArray:
    """The columns named in `FORM` for each window."""
    size = window_lengths(windows)[:, None]
    first = windows.first_block == windows.piece_block[windows.piece]
    last = windows.last_block + 1 == np.append(windows.piece_block[1:], len(windows.block_start))[windows.piece]
    decoded = np.fromiter((view is not None for view in pieces.views), np.bool_, len(pieces.views))
    invisible = np.array(pieces.invisible, np.bool_)
    columns = (
        np.log1p(windows.lengths[windows.piece]) / 5.0,
        size[:, 0] / windows.lengths[windows.piece],
        first,
        last,
        decoded[windows.piece],
        invisible[windows.piece],
    )
    result: FloatArray = np.column_stack((flag_sums / size, *columns)).astype(np.float32)
    return result
