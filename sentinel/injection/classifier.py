"""Scores of texts: how likely each is a prompt injection or jailbreak, and which words say so."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from sentinel.injection.arrays import FloatArray, IntArray
from sentinel.injection.artifact import DEFAULT_PATH, Model, load
from sentinel.injection.features import (
    Pieces,
    form_features,
    ngram_buckets,
    ngram_scale,
    pieces_of,
    word_buckets,
)
from sentinel.injection.obfuscation import View
from sentinel.injection.vocabulary import Vocabulary, WordVectors
from sentinel.injection.windows import (
    Windows,
    block_sums,
    piece_sums,
    pool,
    window_lengths,
    window_sums,
    windows_of,
    word_sums,
)
from sentinel.injection.word_classes import WordClasses

THRESHOLD: Final = 0.85
"""A score from here on is an injection, unless the caller says otherwise."""

CHUNK_CHARACTERS: Final = 60_000
"""Characters that are worked on at once: their words' values fit into the cache of a core (some 100 bytes a character)."""


class Scored(NamedTuple):
    """A text's score, and the words of it (or of its hidden part) that speak most for it."""

    score: float
    text: str
    """The piece that the words are of, without invisible characters."""
    first_word: int
    end_word: int
    view: View | None
    """How the piece was hidden; None for the text itself."""
    invisible: bool
    category: str
    """The kind of attack that its wording is nearest to."""


class InjectionClassifier:
    """A loaded model. Not for several threads at once: every word that is met is remembered."""

    def __init__(self, model: Model, vectors: WordVectors | None = None) -> None:
        self.model = model
        self._hidden = len(model.hidden_bias)
        self._vocabulary = Vocabulary(vectors or WordVectors(), WordClasses(model.class_centres), self._hidden + 1, self._project)
        self._empty = self._vocabulary["."]

    @property
    def name(self) -> str:
        """Name and version of the model."""
        return self.model.name

    def scores(self, texts: Sequence[str]) -> list[float]:
        """Score of each text in [0, 1]."""
        return [found.score for found in self.best(texts)]

    def best(self, texts: Sequence[str]) -> list[Scored]:
        """Score and highest window of each text. The same texts give the same scores whatever else is in the batch."""
        result: list[Scored] = []
        begin = size = 0
        for end, text in enumerate(texts):
            size += len(text)
            if size >= CHUNK_CHARACTERS:
                result.extend(self._chunk(texts[begin : end + 1]))
                begin, size = end + 1, 0
        if begin < len(texts):
            result.extend(self._chunk(texts[begin:]))
        return result

    def _chunk(self, texts: Sequence[str]) -> list[Scored]:
        self._vocabulary.forget_if_full()
        self._empty = self._vocabulary["."]
        pieces, rows = pieces_of(texts, self._vocabulary)
        windows = windows_of(rows, self._vocabulary, self._empty)
        logits, inner = self._logits(windows, pieces)
        pooled = pool(logits, windows.piece, windows.scale)
        owner = np.array(pieces.owner, np.int64)
        chosen = _highest(pooled.logits, owner)
        # The words that are shown are those of the highest window of the piece.
        top = pooled.best[_highest(logits[pooled.best], pooled.piece)][chosen]
        model = self.model
        slope, shift = model.calibration
        scores = 1.0 / (1.0 + np.exp(-np.clip(slope * pooled.logits[chosen].astype(np.float64) + shift, -30, 30)))
        # Rounded to four digits, yet never to certainty: a threshold of 1 stands for never.
        scores = np.minimum(scores, 0.9999)
        ends = np.append(windows.block_start[1:], len(windows.rows))
        first = windows.block_start[windows.first_block[top]]
        end = ends[windows.last_block[top]]
        piece = windows.piece[top]
        begins = (np.cumsum(windows.lengths) - windows.lengths)[piece]
        kinds = np.argmax(inner[top] @ model.category_weights + model.category_bias, axis=1).tolist()
        return [
            Scored(score, pieces.texts[number], begin, stop, pieces.views[number], pieces.invisible[number], model.categories[kind])
            for score, number, begin, stop, kind in zip(
                scores.round(4).tolist(), piece.tolist(), (first - begins).tolist(), (end - begins).tolist(), kinds, strict=True
            )
        ]

    def word_shares(self, texts: Sequence[Sequence[str]], first: Sequence[int], end: Sequence[int]) -> list[FloatArray]:
        """What each word of the window `first`…`end` of a text adds to its logit: its n-grams, and its part of the mean vector to first order."""
        look_up, hidden = self._vocabulary.__getitem__, self._hidden
        rows = np.array([look_up(word) for words in texts for word in words], np.int64)
        self._vocabulary.complete()
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        starts = np.cumsum(lengths) - lengths
        values = self._vocabulary.table[rows]
        ngrams = values[:, hidden] + self._ngram_values(rows, np.arange(len(rows)) - np.repeat(starts, lengths))
        result: list[FloatArray] = []
        for start, length, begin, stop in zip(starts.tolist(), lengths.tolist(), first, end, strict=True):
            size, window = stop - begin, values[start + begin : start + stop, :hidden]
            whole = values[start : start + length, :hidden].sum(axis=0) / max(length, 1)
            active = window.sum(axis=0) / max(size, 1) + whole @ self.model.piece_mixing + self.model.hidden_bias > 0
            share = ngrams[start + begin : start + stop] / max(size, 12) ** 0.5
            result.append(share + window @ (self.model.output * active) / max(size, 1))
        return result

    def _ngram_values(self, rows: Any, position: Any) -> FloatArray:
        """Weight of the n-grams that end at each word; those of the word alone are in the table."""
        values = np.zeros(len(rows), np.float32)
        for buckets in ngram_buckets(self._vocabulary.hashes[rows], self._vocabulary.class_hashes[rows], position):
            values += self.model.ngram_weights[buckets]
        return values

    def _logits(self, windows: Windows, pieces: Pieces) -> tuple[FloatArray, FloatArray]:
        model, hidden = self.model, self._hidden
        blocks = word_sums(self._vocabulary.table, windows)
        blocks[:, hidden] += block_sums(self._ngram_values(windows.rows, windows.position), windows)
        sums = window_sums(blocks, windows)
        pieces_mean = piece_sums(blocks[:, :hidden], windows) / windows.lengths[:, None].astype(np.float32)
        sizes = window_lengths(windows)
        form = form_features(window_sums(word_sums(self._vocabulary.flags, windows), windows), windows, pieces)
        inner = sums[:, :hidden] / sizes[:, None]
        inner += (pieces_mean @ model.piece_mixing)[windows.piece]
        inner += form @ model.form_weights
        inner += model.hidden_bias
        np.maximum(inner, 0, out=inner)
        result: FloatArray = inner @ model.output + sums[:, hidden] * ngram_scale(sizes) + np.float32(model.bias)
        return result, inner

    def _project(self, forms: list[str], vectors: FloatArray) -> FloatArray:
        own = [sum(self.model.ngram_weights[bucket] * value for bucket, value in word_buckets(form).items()) for form in forms]
        return np.column_stack((vectors @ self.model.window_projection, np.array(own, np.float32)))


def _highest(values: FloatArray, group: IntArray) -> IntArray:
    """Place of the highest value of each group, in the order of the groups; the first of equal ones."""
    order = np.lexsort((-np.arange(len(values)), values, group))
    result: IntArray = order[np.flatnonzero(np.append(group[order][1:] != group[order][:-1], True))]
    return result


_shared: dict[Path, InjectionClassifier] = {}
_lock = threading.Lock()


def shared_classifier(path: Path = DEFAULT_PATH) -> InjectionClassifier:
    """The classifier of this process, loaded once. Raises ArtifactError when the file cannot be used."""
    with _lock:
        if path not in _shared:
            _shared[path] = InjectionClassifier(load(path))
        return _shared[path]
