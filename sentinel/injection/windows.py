"""A text in windows: where it is cut, sums over windows of what is known of each word, and how the windows' values become the text's.

A text is cut at the ends of its sentences and lines into blocks of some words, and scored in windows of one, two and four blocks, so that an instruction
planted in a long text stands out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from scipy import sparse

from sentinel.injection.arrays import BoolArray, FloatArray, IntArray
from sentinel.injection.vocabulary import Vocabulary

SHORTEST_BLOCK: Final = 6
"""Words; a shorter sentence or line belongs to the block of the next one."""
LONGEST_BLOCK: Final = 24
"""Words; a longer sentence is cut into equal blocks."""
WINDOWS: Final = ((1, 1), (2, 1), (4, 2))
"""How many blocks the windows have, and how many blocks lie between the beginnings of two of that size."""


class Windows(NamedTuple):
    """Windows of all pieces: one row a window, in order."""

    rows: IntArray
    """Row of the vocabulary for each word of all pieces."""
    position: IntArray
    """Place of a word in its piece."""
    block_start: IntArray
    """Index into `rows`; a block ends where the next begins."""
    piece_block: IntArray
    """First block of each piece."""
    first_block: IntArray
    """First block of a window."""
    last_block: IntArray
    """Last block of a window."""
    piece: IntArray
    """Piece of a window; ascending."""
    scale: IntArray
    """Place in `WINDOWS` of a window's size; ascending within a piece."""
    lengths: IntArray
    """Words of each piece."""


def windows_of(rows: Sequence[Sequence[int]], vocabulary: Vocabulary, empty_row: int) -> Windows:
    """Cut pieces into blocks and windows. A piece without words gets the one word `empty_row`."""
    lengths = np.fromiter((len(words) or 1 for words in rows), np.int64, len(rows))
    flat = np.array([row for words in rows for row in (words or (empty_row,))], np.int64)
    starts = np.cumsum(lengths) - lengths
    position = np.arange(len(flat)) - np.repeat(starts, lengths)
    block_start = block_starts(vocabulary.ends[flat], starts, len(flat))
    first_of_piece = np.searchsorted(block_start, starts)
    blocks = np.diff(np.append(first_of_piece, len(block_start)))
    parts = [_windows_of_size(size, step, first_of_piece, blocks) for size, step in WINDOWS]
    first, last, piece = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    scale = np.repeat(np.arange(len(parts)), [len(part[0]) for part in parts])
    order = np.argsort(piece, kind="stable")
    return Windows(flat, position, block_start, first_of_piece, first[order], last[order], piece[order], scale[order], lengths)


def _windows_of_size(size: int, step: int, first_of_piece: IntArray, blocks: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """(first block, last block, piece) of the windows of `size` blocks that begin at every `step`-th block of a piece."""
    count = np.maximum(blocks - size, -step) // step + 1
    piece = np.repeat(np.arange(len(blocks)), count)
    number = np.arange(len(piece)) - np.repeat(np.cumsum(count) - count, count)
    first = first_of_piece[piece] + step * number
    return first, first + size - 1, piece


def block_starts(ends: BoolArray, piece_starts: IntArray, total: int) -> IntArray:
    """Where blocks begin: at pieces, after words that end a sentence, and within sentences that are too long."""
    after = ends.copy()
    # Of a run of ends (`.` and a line break) the last one counts.
    after[:-1] &= ~ends[1:]
    stops = np.zeros(total + 1, np.bool_)
    stops[1:] = after
    whole = np.zeros(total + 1, np.bool_)
    whole[piece_starts] = whole[total] = True
    places = np.flatnonzero(stops | whole)[1:]
    result: list[int] = []
    start = 0
    for place, end_of_piece in zip(places.tolist(), whole[places].tolist(), strict=True):
        size = place - start
        if size < SHORTEST_BLOCK and not end_of_piece:
            continue
        result.append(start)
        if size > LONGEST_BLOCK:
            parts = -(-size // LONGEST_BLOCK)
            result.extend(start + size * part // parts for part in range(1, parts))
        start = place
    return np.array(result, np.int64)


def block_sums(values: FloatArray, windows: Windows) -> FloatArray:
    """Sums of per-word values over each block: (blocks, columns)."""
    result: FloatArray = np.add.reduceat(values, windows.block_start, axis=0)
    return result


def word_sums(table: FloatArray, windows: Windows) -> FloatArray:
    """Sums over each block of the rows of a table that its words have; no row is copied on the way."""
    ends = np.append(windows.block_start, len(windows.rows))
    counts = sparse.csr_matrix((np.ones(len(windows.rows), np.float32), windows.rows, ends), shape=(len(windows.block_start), len(table)))
    result: FloatArray = counts @ table
    return result


def piece_sums(blocks: FloatArray, windows: Windows) -> FloatArray:
    """Sums over each piece, from those over its blocks."""
    result: FloatArray = np.add.reduceat(blocks, windows.piece_block, axis=0)
    return result


def window_sums(blocks: FloatArray, windows: Windows) -> FloatArray:
    """Sums over each window, from those over its blocks."""
    result: FloatArray = blocks[windows.first_block]
    for further in range(1, max(size for size, _ in WINDOWS)):
        longer = np.flatnonzero(windows.first_block + further <= windows.last_block)
        result[longer] += blocks[windows.first_block[longer] + further]
    return result


def window_lengths(windows: Windows) -> FloatArray:
    """Words of each window."""
    ends = np.append(windows.block_start[1:], len(windows.rows))
    result: FloatArray = (ends[windows.last_block] - windows.block_start[windows.first_block]).astype(np.float32)
    return result


class Pooled(NamedTuple):
    """What windows say about their piece."""

    logits: FloatArray
    """Of each piece: the mean over the scales of the highest window."""
    best: IntArray
    """The highest window of each piece and scale."""
    share: FloatArray
    """What each of `best` counts for in its piece; together 1."""
    piece: IntArray
    """Which piece each of `best` is of, from 0."""


def pool(logits: FloatArray, piece: IntArray, scale: IntArray) -> Pooled:
    """The logits of pieces from those of their windows: small windows find an order among other sentences, large ones see that a whole text is an attack.

    In a piece too short for the larger windows the largest that there is counts for them.
    """
    begins = np.flatnonzero(np.append(True, (piece[1:] != piece[:-1]) | (scale[1:] != scale[:-1])))
    top = np.maximum.reduceat(logits, begins)
    segment = np.repeat(np.arange(len(begins)), np.diff(np.append(begins, len(logits))))
    hits = np.flatnonzero(logits == top[segment])
    best: IntArray = hits[np.searchsorted(segment[hits], np.arange(len(begins)))]
    first = np.append(True, piece[best][1:] != piece[best][:-1])
    last = np.append(first[1:], True)
    share = np.where(last, len(WINDOWS) - scale[best], 1).astype(np.float32) / len(WINDOWS)
    result: FloatArray = np.add.reduceat(top * share, np.flatnonzero(first))
    return Pooled(result.astype(np.float32), best, share, np.cumsum(first) - 1)
