"""Fold a batch of events into partial panes: one row for each key and second that the batch touches.

Folding here means that the engine moves a few records a shard and second on instead of every event; what different batches and workers folded merges
exactly (`sentinel.pane_blocks`), because every quantity is an integer sum or a maximum.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np

from sentinel.detection.facts import Fact
from sentinel.events.columns import Columns, FloatColumn, IntColumn
from sentinel.events.names import NOBODY
from sentinel.pane_blocks import EXEMPLARS, ID_BYTES, PANE_SUMS, PaneBlock, UserCounts, narrowed
from sentinel.panes import HISTOGRAM_BUCKETS, HISTOGRAM_FIRST_MS, HISTOGRAM_GROWTH, LOG_SCALE, PANE_WIDTH_MS, shard_of

_QUANTITY_TOTALS = (PANE_SUMS.index("latency_sum_us"), PANE_SUMS.index("token_sum"), PANE_SUMS.index("cost_sum_nano"))
"""The sums whose largest single value is kept, in the order of `EXEMPLARS`."""


def fold(columns: Columns, event_ids: Sequence[uuid.UUID], facts: Iterable[Fact] = ()) -> list[tuple[int, PaneBlock]]:
    """(shard, partial panes of one second) of the batch, one entry for each shard and second that it touches; facts of its events beside them."""
    names, numbers = columns.names, columns.key_numbers
    seconds = columns.times_ms // PANE_WIDTH_MS
    first_second = int(seconds.min())
    seconds -= first_second
    # Sorted by shard, second and key, so that each block is one run of rows.
    span, known = int(seconds.max()) + 1, len(names.keys)
    combined = (names.shards[numbers] * span + seconds) * known + numbers
    order = np.argsort(combined, kind="stable")
    ordered = combined[order]
    bounds = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    sums, histograms, maxima, ids = _fold_rows(columns, order, bounds, event_ids)
    # For all blocks together: each for itself would cost more than what is narrowed.
    sums, histograms, maxima = narrowed(sums), narrowed(histograms), narrowed(maxima)
    blocks = ordered[bounds] // known
    starts = np.flatnonzero(np.concatenate(([True], blocks[1:] != blocks[:-1])))
    row_keys = [names.keys[number] for number in numbers[order[bounds]].tolist()]
    users = _fold_users(columns, seconds)
    facts_of: dict[tuple[int, int], list[Fact]] = {}
    for fact in facts:
        place = (shard_of(fact.tenant_id, fact.application_id), fact.start_ms // PANE_WIDTH_MS - first_second)
        facts_of.setdefault(place, []).append(fact)
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


def _fold_users(columns: Columns, seconds: IntColumn) -> dict[tuple[int, int], list[UserCounts]]:
    """Events by user of each application and second, by shard and second, of the events that name a user."""
    named = np.flatnonzero(columns.user_numbers != NOBODY)
    if not len(named):
        return {}
    names, numbers = columns.names, columns.user_numbers[named]
    hashes = names.user_hashes[numbers]
    applications = len(names.applications)
    groups = seconds[named] * applications + names.key_applications[columns.key_numbers[named]]
    order = np.lexsort((hashes, groups))
    groups, hashes = groups[order], hashes[order]
    bounds = np.flatnonzero(np.concatenate(([True], (hashes[1:] != hashes[:-1]) | (groups[1:] != groups[:-1]))))
    counts = np.diff(np.append(bounds, len(order))).astype(np.uint32)
    groups, hashes = groups[bounds], hashes[bounds]
    users = [names.users[number] for number in numbers[order[bounds]].tolist()]
    starts = np.flatnonzero(np.concatenate(([True], groups[1:] != groups[:-1]))).tolist()
    found: dict[tuple[int, int], list[UserCounts]] = {}
    for begin, end in pairwise([*starts, len(bounds)]):
        second, application = divmod(int(groups[begin]), applications)
        tenant_id, application_id = names.applications[application]
        part = UserCounts(tenant_id, application_id, hashes[begin:end].tobytes(), counts[begin:end].tobytes(), "\n".join(users[begin:end]))
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
