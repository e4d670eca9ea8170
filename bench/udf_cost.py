"""What the steps of the one Python hop cost an event, without Flink: one process, one core, batches as large as Arrow's."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.row import Row
from sentinel.config.load import default_config
from sentinel.config.runtime import RuntimeConfig
from sentinel.detection.rules.engine import EventRules
from sentinel.events.columns import Columns, columns_of, joined
from sentinel.events.decode import decode_batch
from sentinel.events.folding import Folder
from sentinel.pane_blocks import to_text
from services.traffic.bulk import bulk_events
from udfs.inspect_events import CHUNK

BATCH = 10_000
BATCHES = 12
ROUNDS = 3


def batches(keys: int = 1_000) -> list[tuple[list[bytes], list[int]]]:
    """Batches of (values, times) as they arrive at one subtask: event time moves on by two seconds a batch."""
    begin_ms = int(time.time() * 1000) - 60_000
    events = list(bulk_events(BATCH * BATCHES, keys=keys, start_ms=begin_ms, rate=BATCH / 2))
    return [([e[2] for e in part], [e[0] for e in part]) for part in (events[i : i + BATCH] for i in range(0, len(events), BATCH))]


def costs(prepared: list[tuple[list[bytes], list[int]]]) -> dict[str, float]:
    """Microseconds of CPU an event by step; the best of some rounds."""
    rules = EventRules(RuntimeConfig.from_snapshot(1, default_config().config.to_snapshot()))
    folder = Folder()
    best: dict[str, float] = {}
    for _ in range(ROUNDS):
        spent: dict[str, float] = {}
        for values, times in prepared:
            _batch(spent, rules, folder, values, times)
        for name, seconds in spent.items():
            micros = seconds * 1e6 / (BATCH * len(prepared))
            best[name] = round(min(best.get(name, micros), micros), 3)
    return best | {"all": round(sum(best.values()), 3)}


def _batch(spent: dict[str, float], rules: EventRules, folder: Folder, values: list[bytes], times: list[int]) -> None:
    parts: list[Columns] = []
    ids: list[uuid.UUID] = []
    for begin in range(0, len(values), CHUNK):
        part, part_times = values[begin : begin + CHUNK], times[begin : begin + CHUNK]
        decoded = _timed(spent, "decode and validate", lambda part=part, times=part_times: decode_batch(part, times))
        columns = _timed(
            spent, "columns", lambda decoded=decoded, times=part_times: columns_of(decoded.events, np.array(times)[decoded.rows])
        )
        new_ids = [event.event_id or uuid.UUID(int=0) for event in decoded.events]
        _timed(
            spent,
            "rules",
            lambda decoded=decoded, columns=columns, ids=new_ids: rules.evaluate(decoded.events, columns, ids, times[0]),
        )
        parts.append(columns)
        ids += new_ids
    columns = joined(parts)
    blocks = _timed(spent, "fold into panes and users", lambda: folder.fold(columns, ids))
    _timed(spent, "blocks as text", lambda: [to_text(block) for _, block in blocks])


def _timed(spent: dict[str, float], name: str, step: Callable[[], Any]) -> Any:
    began = time.process_time()
    result = step()
    spent[name] = spent.get(name, 0.0) + time.process_time() - began
    return result


def run(row: Row) -> Row:
    """The row."""
    row.details = {"us_per_event": costs(batches())}
    return row
