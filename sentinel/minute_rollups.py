"""One-minute rollups of a shard's panes: sums, histogram and maxima by tenant, application and model."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from sentinel.detection.state import check_version
from sentinel.pane_blocks import MAXIMA, PANE_SUMS, IntMatrix, Key, PaneBlock
from sentinel.panes import BITS_PER_BUCKET, BUCKETS_PER_WORD, HISTOGRAM_BUCKETS, HISTOGRAM_WORDS

MINUTE_MS = 60_000
STATE_VERSION = 1
STORED_SUMS = tuple(name for name in PANE_SUMS if "_log_" not in name)
"""Log-domain sums serve the detectors only."""
STORED_COLUMNS = (
    *STORED_SUMS,
    *(f"latency_hist_{word}" for word in range(HISTOGRAM_WORDS)),
    "latency_max_us",
    "token_max",
    "cost_max_nano",
)
"""What a rollup row holds behind its key and minute. The histogram is packed, 2 buckets of 31 bits a word: words add up by SUM."""

_STORED_PLACES = [PANE_SUMS.index(name) for name in STORED_SUMS]
_SHIFTS = BITS_PER_BUCKET * np.arange(BUCKETS_PER_WORD, dtype=np.int64)


class Minute(NamedTuple):
    """A closed minute of one key, or what late events add to one."""

    tenant_id: str
    application_id: str
    model: str
    start_ms: int
    numbers: list[int]
    """In the order of `STORED_COLUMNS`"""


def minutes_of(block: PaneBlock) -> list[Minute]:
    """What one block alone adds to its minute."""
    return _rows(block.start_ms - block.start_ms % MINUTE_MS, block.keys, block.sums, block.histograms, block.maxima)


class MinuteRollups:
    """Minutes of a shard that are not over yet, or over for less than `turn_ms`."""

    def __init__(self, turn_ms: int = 0) -> None:
        self._turn_ms = turn_ms
        self._open: dict[int, _OpenMinute] = {}

    def add(self, block: PaneBlock) -> None:
        """Take the panes of one second."""
        start_ms = block.start_ms - block.start_ms % MINUTE_MS
        self._open.setdefault(start_ms, _OpenMinute()).add(block)

    def close(self, now_ms: int) -> list[Minute]:
        """The minutes whose turn comes at or before `now_ms`."""
        due = sorted(start for start in self._open if start + MINUTE_MS + self._turn_ms <= now_ms)
        return [row for start in due for row in self._open.pop(start).rows(start)]

    def next_turn_ms(self) -> int | None:
        """When `close` gives the next minute."""
        return min(self._open) + MINUTE_MS + self._turn_ms if self._open else None

    def to_state(self) -> list[Any]:
        """Versioned; msgpack-able."""
        return [STATE_VERSION, [[start, *minute.to_state()] for start, minute in self._open.items()]]

    def from_state(self, state: Any) -> None:
        """Go on from `to_state`; raises StateError on another version."""
        (minutes,) = check_version(state, STATE_VERSION, "minute rollups")
        self._open = {start: _OpenMinute.of(*fields) for start, *fields in minutes}


class _OpenMinute:
    """One row a key: sums and histogram side by side, and the maxima."""

    def __init__(self) -> None:
        self._places: dict[Key, int] = {}
        self._numbers = np.zeros((16, len(PANE_SUMS) + HISTOGRAM_BUCKETS), np.int64)
        self._maxima = np.zeros((16, MAXIMA), np.int64)

    def add(self, block: PaneBlock) -> None:
        number = self._places.setdefault
        places = [number(key, len(self._places)) for key in block.keys]
        while len(self._places) > len(self._numbers):
            self._numbers = np.vstack((self._numbers, np.zeros_like(self._numbers)))
            self._maxima = np.vstack((self._maxima, np.zeros_like(self._maxima)))
        # A block has a key once, so that plain indexing adds every row.
        self._numbers[places] += np.hstack((block.sums, block.histograms))
        self._maxima[places] = np.maximum(self._maxima[places], block.maxima)

    def rows(self, start_ms: int) -> list[Minute]:
        numbers = self._numbers[: len(self._places)]
        sums, histograms = np.hsplit(numbers, [len(PANE_SUMS)])
        return sorted(_rows(start_ms, list(self._places), sums, histograms, self._maxima[: len(self._places)]))

    def to_state(self) -> list[Any]:
        size = len(self._places)
        return [list(self._places), self._numbers[:size].tobytes(), self._maxima[:size].tobytes()]

    @classmethod
    def of(cls, keys: list[list[str]], numbers: bytes, maxima: bytes) -> _OpenMinute:
        minute = cls()
        minute._places = {(key[0], key[1], key[2]): place for place, key in enumerate(keys)}
        minute._numbers = np.frombuffer(numbers, np.int64).reshape(len(keys), -1).copy()
        minute._maxima = np.frombuffer(maxima, np.int64).reshape(len(keys), MAXIMA).copy()
        return minute


def _rows(start_ms: int, keys: list[Key], sums: IntMatrix, histograms: IntMatrix, maxima: IntMatrix) -> list[Minute]:
    words = (histograms.reshape(len(keys), HISTOGRAM_WORDS, BUCKETS_PER_WORD) << _SHIFTS).sum(axis=2)
    numbers = np.hstack((sums[:, _STORED_PLACES], words, maxima)).tolist()
    return [Minute(*key, start_ms, row) for key, row in zip(keys, numbers, strict=True)]
