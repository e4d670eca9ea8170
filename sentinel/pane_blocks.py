"""Pane blocks: the panes of one shard and one second together, as they cross from the per-event hop to the keyed operator.

A batch of events makes one partial block for each shard and second that it touches (`sentinel.events.folding`). SQL only collects the blocks of a
shard's second; `merged` adds them up. Nothing of a block is looked at in between, so it travels as one text: base64 of MessagePack, with the
numbers as raw arrays, as wide as the largest of them needs. How wide they are shows in their length.
"""

from __future__ import annotations

import base64
from binascii import a2b_base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from sentinel.detection.facts import Fact
from sentinel.panes import HISTOGRAM_BUCKETS, PANE_WIDTH_MS, Pane

PANE_SUMS = (
    "events",
    "prompts",
    "calls",
    "errors",
    "latency_count",
    "latency_sum_us",
    "latency_log_sum",
    "latency_log_sumsq",
    "token_count",
    "token_sum",
    "token_log_sum",
    "token_log_sumsq",
    "cost_count",
    "cost_sum_nano",
    "cost_log_sum",
    "cost_log_sumsq",
)
"""The pane's additive quantities, in the order of the columns of `PaneBlock.sums`."""

ID_BYTES = 16
EXEMPLARS = SimpleNamespace(names=("latency", "token", "cost", "any"), none=bytes(ID_BYTES))
"""The events that a pane names: those behind its highest latency, token count and cost, and any one; `none` where there is none."""

MAXIMA = 3
SEPARATOR = ","
"""Between blocks that were collected; no base64 text holds it."""

IntMatrix = npt.NDArray[np.int64]
Key = tuple[str, str, str]


class UserCounts(msgspec.Struct, array_like=True):
    """Events by user of one application in one second. `hashes` (int64) and `counts` (uint32) are raw arrays; `names` in their order, one a line."""

    tenant_id: str
    application_id: str
    hashes: bytes
    counts: bytes
    names: str


@dataclass(slots=True)
class PaneBlock:
    """Panes of one shard that begin at `start_ms` (epoch ms), one row each; times in µs, cost in nano-USD, as in `sentinel.panes.Pane`."""

    start_ms: int
    keys: list[Key]
    """(tenant, application, model)"""
    sums: npt.NDArray[Any]
    """(rows, len(PANE_SUMS)); as all numbers here int64, or `narrowed` on their way"""
    histograms: npt.NDArray[Any]
    """(rows, 36)"""
    maxima: npt.NDArray[Any]
    """(rows, 3): highest latency, tokens, cost of a single call"""
    ids: list[bytes]
    """For each row the four ids of `EXEMPLARS`, 16 bytes each, one after the other"""
    users: list[UserCounts] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    """What rules with memory must know of single events of that second"""

    def panes(self) -> list[Pane]:
        """The rows as panes."""
        rows = zip(self.keys, self.sums.tolist(), self.maxima.tolist(), self.histograms.tolist(), self.ids, strict=True)
        return [_pane(self.start_ms, *row) for row in rows]


class _Wire(msgspec.Struct, array_like=True):
    start_ms: int
    keys: list[str]
    sums: bytes
    histograms: bytes
    maxima: bytes
    ids: bytes
    users: list[UserCounts]
    facts: list[Fact]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Wire)


def narrowed(numbers: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The same numbers, none of which is negative, in as few bytes as the largest needs. What is narrow already stays as it is."""
    if numbers.dtype != np.int64 or not numbers.size:
        return numbers
    return numbers.astype(np.min_scalar_type(int(numbers.max())))


def to_bytes(block: PaneBlock) -> bytes:
    """A block as bytes."""
    wire = _Wire(
        block.start_ms,
        [part for key in block.keys for part in key],
        narrowed(block.sums).tobytes(),
        narrowed(block.histograms).tobytes(),
        narrowed(block.maxima).tobytes(),
        b"".join(block.ids),
        block.users,
        block.facts,
    )
    return _encoder.encode(wire)


def from_bytes(data: bytes) -> PaneBlock:
    """The block of `to_bytes`; raises msgspec.DecodeError, TypeError or ValueError for anything else."""
    return _side_by_side([_decoder.decode(data)])


def to_text(block: PaneBlock) -> str:
    """A block as text that SQL may join with others, `SEPARATOR` between them."""
    return base64.b64encode(to_bytes(block)).decode("ascii")


def from_texts(texts: str) -> PaneBlock:
    """The merged block of collected texts, all of one shard and second."""
    return merged(_side_by_side([_decoder.decode(a2b_base64(text)) for text in texts.split(SEPARATOR)]))


def _side_by_side(wires: Sequence[_Wire]) -> PaneBlock:
    """The rows of all, one below the other: their bytes are put together before anything is made of them, since most hold a row or two."""
    keys = [part for wire in wires for part in wire.keys]
    ids = b"".join([wire.ids for wire in wires])
    rows = [len(wire.keys) // 3 for wire in wires]
    width = ID_BYTES * len(EXEMPLARS.names)
    return PaneBlock(
        start_ms=wires[0].start_ms,
        keys=list(zip(keys[::3], keys[1::3], keys[2::3], strict=True)),
        sums=_matrix([wire.sums for wire in wires], rows, len(PANE_SUMS)),
        histograms=_matrix([wire.histograms for wire in wires], rows, HISTOGRAM_BUCKETS),
        maxima=_matrix([wire.maxima for wire in wires], rows, MAXIMA),
        ids=[ids[begin : begin + width] for begin in range(0, len(ids), width)],
        users=[part for wire in wires for part in wire.users],
        facts=[fact for wire in wires for fact in wire.facts],
    )


def _matrix(parts: list[bytes], rows: list[int], columns: int) -> IntMatrix:
    widths = [len(part) // (count * columns) for part, count in zip(parts, rows, strict=True) if count]
    widest = max(widths, default=1)
    if len(set(widths)) > 1:
        filled = [part for part in parts if part]
        parts = [
            np.frombuffer(part, _unsigned(width)).astype(_unsigned(widest)).tobytes() for part, width in zip(filled, widths, strict=True)
        ]
    return np.frombuffer(b"".join(parts), _unsigned(widest)).reshape(sum(rows), columns).astype(np.int64)


def _unsigned(width: int) -> np.dtype[Any]:
    """Numbers of so many bytes, as they travel; TypeError for a width that numbers do not have."""
    return np.dtype(f"u{width}")


def merged(block: PaneBlock) -> PaneBlock:
    """One row a key, sorted by key; exact in any order: sums add up, and of equal maxima the highest id counts."""
    keys = sorted(set(block.keys))
    if keys == block.keys:
        return block
    places = {key: place for place, key in enumerate(keys)}
    rows = [places[key] for key in block.keys]
    maxima = np.zeros((len(keys), MAXIMA), np.int64)
    np.maximum.at(maxima, rows, block.maxima)
    ids = _merged_ids(block, rows, maxima.tolist())
    sums, histograms = _added(rows, len(keys), block.sums), _added(rows, len(keys), block.histograms)
    return PaneBlock(block.start_ms, keys, sums, histograms, maxima, ids, block.users, block.facts)


def _added(rows: list[int], size: int, parts: IntMatrix) -> IntMatrix:
    total = np.zeros((size, parts.shape[1]), np.int64)
    np.add.at(total, rows, parts)
    return total


def _merged_ids(block: PaneBlock, rows: list[int], maxima: list[list[int]]) -> list[bytes]:
    best: list[list[bytes]] = [[EXEMPLARS.none] * len(EXEMPLARS.names) for _ in maxima]
    for row, numbers, ids in zip(rows, block.maxima.tolist(), block.ids, strict=True):
        known, tops = best[row], maxima[row]
        for place in range(MAXIMA):
            if numbers[place] == tops[place]:
                known[place] = max(known[place], ids[place * ID_BYTES : (place + 1) * ID_BYTES])
        known[MAXIMA] = max(known[MAXIMA], ids[MAXIMA * ID_BYTES :])
    return [b"".join(four) for four in best]


def event_text(event: bytes) -> str:
    """An event id as text; '' for none."""
    if event == EXEMPLARS.none:
        return ""
    digits = event.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _pane(start_ms: int, key: Key, sums: list[int], maxima: list[int], histogram: list[int], ids: bytes) -> Pane:
    pane = Pane(key[0], key[1], key[2], start_ms, PANE_WIDTH_MS)
    (pane.events, pane.prompts, pane.calls, pane.errors) = sums[:4]
    (pane.latency_count, pane.latency_sum_us, pane.latency_log_sum, pane.latency_log_sumsq) = sums[4:8]
    (pane.token_count, pane.token_sum, pane.token_log_sum, pane.token_log_sumsq) = sums[8:12]
    (pane.cost_count, pane.cost_sum_nano, pane.cost_log_sum, pane.cost_log_sumsq) = sums[12:]
    pane.latency_max_us, pane.token_max, pane.cost_max_nano = maxima
    pane.latency_max_event = event_text(ids[:16])
    pane.token_max_event = event_text(ids[16:32])
    pane.cost_max_event = event_text(ids[32:48])
    pane.first_event = event_text(ids[48:])
    pane.latency_hist = histogram
    return pane
