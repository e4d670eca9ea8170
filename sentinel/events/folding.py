"""Fold a batch of events into partial panes: one row for each key and second that the batch touches.

Folding here means that the engine moves a few records a shard and second on instead of every event; what different batches and workers folded merges
exactly (`sentinel.pane_blocks`), because every quantity is an integer sum or a maximum.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import xxhash

from sentinel.detection.facts import Fact
from sentinel.events.columns import Columns, FloatColumn, IntColumn
from sentinel.pane_blocks import EXEMPLARS, ID_BYTES, PANE_SUMS, PaneBlock, UserCounts
from sentinel.panes import HISTOGRAM_BUCKETS, HISTOGRAM_FIRST_MS, HISTOGRAM_GROWTH, LOG_SCALE, PANE_WIDTH_MS, shard_of

_KNOWN_LIMIT = 200_000
_QUANTITY_TOTALS = (PANE_SUMS.index("latency_sum_us"), PANE_SUMS.index("token_sum"), PANE_SUMS.index("cost_sum_nano"))
"""The sums whose largest single value is kept, in the order of `EXEMPLARS`."""

Key = tuple[str, str, str]


class _Codes(dict[Key, int]):
    """Key → a small number that it keeps, so that keys group as integers."""

    def __init__(self) -> None:
        super().__init__()
        self.keys_by_code: list[Key] = []
        self.shards = np.empty(1024, np.int64)

    def __missing__(self, key: Key) -> int:
        code = self[key] = len(self.keys_by_code)
        self.keys_by_code.append(key)
        if code == len(self.shards):
            self.shards = np.concatenate((self.shards, np.empty_like(self.shards)))
        self.shards[code] = shard_of(key[0], key[1])
        return code


class _UserHashes(dict[str, int]):
    """User → 64-bit hash, the same in every process."""

    def __missing__(self, user: str) -> int:
        number = self[user] = xxhash.xxh64_intdigest(user.encode("utf-8", "surrogatepass")) - 2**63
        return number


class Folder:
    """Folds batches; it remembers nothing but the numbers that it gave to keys and users."""

    def __init__(self) -> None:
        self._codes = _Codes()
        self._hashes = _UserHashes()

    def fold(self, columns: Columns, event_ids: Sequence[uuid.UUID], facts: Iterable[Fact] = ()) -> list[tuple[int, PaneBlock]]:
        """(shard, partial panes of one second) of the batch, one entry for each shard and second that it touches; facts of its events beside them."""
        if len(self._codes) > _KNOWN_LIMIT:
            self._codes = _Codes()
        codes = np.array([self._codes[key] for key in columns.keys], np.int64)
        seconds = columns.times_ms // PANE_WIDTH_MS
        first_second = int(seconds.min())
        seconds -= first_second
        shards = self._codes.shards[codes]
        # Sorted by shard, second and key, so that each block is one run of rows.
        span = int(seconds.max()) + 1
        combined = (shards * span + seconds) * len(self._codes) + codes
        order = np.argsort(combined, kind="stable")
        ordered = combined[order]
        bounds = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
        sums, histograms, maxima, ids = _fold_rows(columns, order, bounds, event_ids)
        blocks = ordered[bounds] // len(self._codes)
        starts = np.flatnonzero(np.concatenate(([True], blocks[1:] != blocks[:-1])))
        keys = self._codes.keys_by_code
        row_keys = [keys[code] for code in codes[order[bounds]].tolist()]
        users = self._users(columns, seconds)
        facts_of: dict[tuple[int, int], list[Fact]] = {}
        for fact in facts:
            facts_of.setdefault((shard_of(fact.tenant_id, fact.application_id), fact.start_ms // PANE_WIDTH_MS - first_second), []).append(
                fact
            )
        found: list[tuple[int, PaneBlock]] = []
        for begin, end in pairwise([*starts.tolist(), len(bounds)]):
            shard, second = divmod(int(blocks[begin]), span)
            block = PaneBlock(
                start_ms=(first_second + second) * PANE_WIDTH_MS,
                keys=row_keys[begin:end],
                sums=sums[begin:end],
                histograms=histograms[begin:end],
                maxima=maxima[begin:end],
                ids=ids[begin:end],
                users=users.get((shard, second), []),
                facts=facts_of.get((shard, second), []),
            )
            found.append((shard, block))
        return found

    def _users(self, columns: Columns, seconds: IntColumn) -> dict[tuple[int, int], list[UserCounts]]:
        """Events by user of each application and second, by shard and second, of the events that name a user."""
        named = [row for row, user in enumerate(columns.users) if user]
        if not named:
            return {}
        if len(self._hashes) > _KNOWN_LIMIT:
            self._hashes = _UserHashes()
        users = [columns.users[row] for row in named]
        applications: dict[tuple[str, str], int] = {}
        number = applications.setdefault
        codes = np.array([number((key[0], key[1]), len(applications)) for key in (columns.keys[row] for row in named)], np.int64)
        groups = seconds[named] * len(applications) + codes
        hashes = np.array([self._hashes[user] for user in users], np.int64)
        order = np.lexsort((hashes, groups))
        groups, hashes = groups[order], hashes[order]
        bounds = np.flatnonzero(np.concatenate(([True], (hashes[1:] != hashes[:-1]) | (groups[1:] != groups[:-1]))))
        counts = np.diff(np.append(bounds, len(order))).astype(np.uint32)
        groups, hashes = groups[bounds], hashes[bounds]
        names = [users[row] for row in order[bounds].tolist()]
        starts = np.flatnonzero(np.concatenate(([True], groups[1:] != groups[:-1]))).tolist()
        known = list(applications)
        found: dict[tuple[int, int], list[UserCounts]] = {}
        for begin, end in pairwise([*starts, len(bounds)]):
            second, application = divmod(int(groups[begin]), len(known))
            tenant_id, application_id = known[application]
            part = UserCounts(
                tenant_id, application_id, hashes[begin:end].tobytes(), counts[begin:end].tobytes(), "\n".join(names[begin:end])
            )
            found.setdefault((shard_of(tenant_id, application_id), second), []).append(part)
        return found


def _fold_rows(
    columns: Columns, order: IntColumn, bounds: IntColumn, event_ids: Sequence[uuid.UUID]
) -> tuple[IntColumn, IntColumn, IntColumn, list[bytes]]:
    """Sums, histograms, maxima and the ids behind them, one row a pane; `order` sorts the events by pane, `bounds` are the panes' first places."""
    # Without a latency NaN stays NaN through log1p, and counts as nothing in the sums.
    is_call = columns.is_call
    latency = np.where(is_call, columns.latency_ms, np.nan)[order]
    per_event = np.empty((len(order), len(PANE_SUMS)), np.int64)
    per_event[:, 0] = 1
    per_event[:, 1] = columns.is_prompt[order]
    per_event[:, 2] = is_call[order]
    per_event[:, 3] = columns.is_error[order]
    _put_quantity(per_event[:, 4:8], latency, scale=1e3, log_unit=1.0)
    _put_quantity(per_event[:, 8:12], np.where(is_call, columns.total_tokens, np.nan)[order], scale=1.0, log_unit=1.0)
    _put_quantity(per_event[:, 12:16], np.where(is_call, columns.cost, np.nan)[order], scale=1e9, log_unit=1e6)
    sums = np.add.reduceat(per_event, bounds, axis=0)
    sizes = np.diff(np.append(bounds, len(order)))
    panes = np.repeat(np.arange(len(bounds)), sizes)
    totals = per_event[:, _QUANTITY_TOTALS]
    maxima = np.maximum.reduceat(totals, bounds, axis=0)
    id_of = [event_ids[row].int.to_bytes(ID_BYTES, "big") for row in order.tolist()] if len(bounds) * 4 > len(order) else None
    columns_of_ids = [_highest(totals[:, place], maxima[:, place], panes, order, event_ids, id_of) for place in range(len(maxima[0]))]
    any_event = [event_ids[row].int.to_bytes(ID_BYTES, "big") for row in order[bounds].tolist()]
    ids = [b"".join(four) for four in zip(*columns_of_ids, any_event, strict=True)]
    return sums, _histograms(latency, panes, len(bounds)), maxima, ids


def _put_quantity(target: IntColumn, values: FloatColumn, scale: float, log_unit: float) -> None:
    """Four columns: is there a number, the number in `1/scale`, its scaled log, the square of that."""
    present = ~np.isnan(values)
    filled = np.where(present, values, 0.0)
    logs = np.rint(LOG_SCALE * np.log1p(filled * log_unit)).astype(np.int64)
    target[:, 0] = present
    target[:, 1] = np.rint(filled * scale)
    target[:, 2] = logs
    target[:, 3] = logs * logs


def _histograms(latency_ms: FloatColumn, panes: IntColumn, pane_count: int) -> IntColumn:
    present = ~np.isnan(latency_ms)
    floor = np.maximum(latency_ms[present], HISTOGRAM_FIRST_MS)
    buckets = np.ceil(np.log(floor / HISTOGRAM_FIRST_MS) / np.log(HISTOGRAM_GROWTH)).astype(np.int64)
    np.clip(buckets, 0, HISTOGRAM_BUCKETS - 1, out=buckets)
    flat = np.bincount(panes[present] * HISTOGRAM_BUCKETS + buckets, minlength=pane_count * HISTOGRAM_BUCKETS)
    return flat.reshape(pane_count, HISTOGRAM_BUCKETS).astype(np.int64)


def _highest(
    numbers: IntColumn, tops: IntColumn, panes: IntColumn, order: IntColumn, event_ids: Sequence[uuid.UUID], id_of: list[bytes] | None
) -> list[bytes]:
    """For each pane the id behind its highest number; zeros where that is 0. Equal numbers: the highest id, whatever the order of arrival."""
    candidates = np.flatnonzero((numbers == tops[panes]) & (numbers > 0))
    best = [EXEMPLARS.none] * len(tops)
    rows = order[candidates].tolist()
    for place, pane, row in zip(candidates.tolist(), panes[candidates].tolist(), rows, strict=True):
        event = id_of[place] if id_of is not None else event_ids[row].int.to_bytes(ID_BYTES, "big")
        if event > best[pane]:
            best[pane] = event
    return best
