"""What is known of a word: computed when it is first met, then looked up. Frequent words make up nearly all of any traffic."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file
from tokenizers import Tokenizer
from xxhash import xxh3_64_intdigest

from sentinel.injection.arrays import BoolArray, FloatArray, HashArray
from sentinel.injection.obfuscation import word_disguise
from sentinel.injection.word_classes import WordClasses
from sentinel.injection.words import mixes_scripts, normal_form

VECTOR_SIZE = 256
MAX_WORDS = 80_000
"""Words kept at most (some 300 bytes each); beyond that the store is emptied, so that random words cannot fill the memory."""

# One word list at a time is encoded, in workers that each have a core of their own: threads would only wait for one another.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

FLAGS: Final = ("capitals", "mixed scripts", "reversed", "rotated", "leetspeak", "punctuation", "number", "not ascii", "long")
"""What a word is marked with, each 0 or 1."""

SENTENCE_ENDS: Final = frozenset(".!?\n。！？।؟…;")
"""A word that begins with one of these ends a sentence; normal forms make full-width marks narrow."""


class WordVectors:
    """The static word-piece embeddings inside the WordLlama wheel (32,000 x 256), read from its files: its own loader would ask a network."""

    def __init__(self) -> None:
        folder = _package_folder("wordllama")
        self._pieces: npt.NDArray[np.float16] = load_file(folder / "weights" / "l2_supercat_256.safetensors")["embedding.weight"].astype(
            np.float16
        )
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizers" / "l2_supercat_tokenizer_config.json"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def of(self, words: list[str]) -> FloatArray:
        """The mean of its pieces' vectors for each word: (words, 256)."""
        pieces = [encoding.ids for encoding in self._tokenizer.encode_batch(words, add_special_tokens=False)]
        result = np.zeros((len(words), VECTOR_SIZE), np.float32)
        for row, ids in enumerate(pieces):
            if ids:
                result[row] = self._pieces[ids].mean(axis=0, dtype=np.float32)
        return result


def _package_folder(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"the classifier needs the package {name}: it holds the word vectors", name=name)
    return Path(spec.submodule_search_locations[0])


class Vocabulary(dict[str, int]):
    """Row of a word in `hashes`, `class_hashes`, `flags`, `table` and `ends` (whether it ends a sentence).

    A word that is new gets a row; `complete` fills the new rows.

    `project` turns (normal forms, vectors) into what the caller wants to have at hand for each word: (words, columns) float32.
    """

    def __init__(self, vectors: WordVectors, classes: WordClasses, columns: int, project: Any) -> None:
        super().__init__()
        self._vectors = vectors
        self._classes = classes
        self._project = project
        self._columns = columns
        self._reserve(4096)
        self._new: list[str] = []

    def _reserve(self, size: int) -> None:
        self.hashes: HashArray = np.zeros(size, np.uint64)
        self.class_hashes: HashArray = np.zeros((size, len(self._classes.levels)), np.uint64)
        self.flags: FloatArray = np.zeros((size, len(FLAGS)), np.float32)
        self.table: FloatArray = np.zeros((size, self._columns), np.float32)
        self.ends: BoolArray = np.zeros(size, np.bool_)

    def __missing__(self, word: str) -> int:
        row = self[word] = len(self)
        self._new.append(word)
        return row

    def complete(self) -> None:
        """Compute the rows of the words met since the last call."""
        if not self._new:
            return
        first, new = len(self) - len(self._new), self._new
        self._new = []
        if len(self) > len(self.hashes):
            self._grow(max(len(self), 2 * len(self.hashes)))
        for begin in range(0, len(new), 20_000):
            part = new[begin : begin + 20_000]
            rows = slice(first + begin, first + begin + len(part))
            forms = [normal_form(word) for word in part]
            self.hashes[rows] = [xxh3_64_intdigest(form.encode()) for form in forms]
            self.ends[rows] = [form[0] in SENTENCE_ENDS for form in forms]
            self.flags[rows] = [_flags(word, form) for word, form in zip(part, forms, strict=True)]
            vectors = self._vectors.of(forms)
            self.class_hashes[rows] = self._classes.hashes(forms, vectors, self.hashes[rows])
            self.table[rows] = self._project(forms, vectors)

    def forget_if_full(self) -> None:
        """Empty the store when it holds more than `MAX_WORDS`; call it between batches."""
        if len(self) > MAX_WORDS:
            self.clear()
            self._reserve(4096)

    def _grow(self, size: int) -> None:
        for name in ("hashes", "class_hashes", "flags", "table", "ends"):
            old = getattr(self, name)
            new = np.zeros((size, *old.shape[1:]), old.dtype)
            new[: len(old)] = old
            setattr(self, name, new)


def _flags(word: str, form: str) -> tuple[float, ...]:
    disguise = word_disguise(form)
    return (
        float(len(word) > 2 and word.isupper()),
        float(mixes_scripts(word)),
        float(disguise == 1),
        float(disguise == 2),
        float(disguise == 3),
        float(not word[0].isalnum() and word[0] != "_"),
        float(form.startswith("<number")),
        float(not word.isascii()),
        float(form == "<long>"),
    )
