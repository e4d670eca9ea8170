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
from sentinel.events.decode import CHUNK, decode_batch
from sentinel.events.enrichment import Enrichment
from sentinel.events.folding import fold
from sentinel.pane_blocks import to_text
from services.traffic.bulk import bulk_events

BATCH = 10_000
BATCHES = 12
ROUNDS = 3


def batches(keys: int = 1_000) -> list[tuple[list[bytes], list[int]]]:
    """Batches of (values, times) as they arrive at one subtask: event time moves on by two seconds a batch."""
    begin_ms = int(time.time() * 1000) - 60_000
    events = list(bulk_events(BATCH * BATCHES, keys=keys, start_ms=begin_ms, rate=BATCH / 2))
    return [([e[2] for e in part], [e[0] for e in part]) for part in (events[i : i + BATCH] for i in range(0, len(events), BATCH))]


class _Hop:
    """What a worker of the hop keeps, and the steps of a batch."""

    def __init__(self) -> None:
        config = RuntimeConfig.from_snapshot(1, default_config().config.to_snapshot())
        self.rules, self.enrichment = EventRules(config), Enrichment.of(config)
        self.names = self.enrichment.new_names()
        self.spent: dict[str, float] = {}

    def batch(self, values: list[bytes], times: list[int]) -> None:
        """The steps of `udfs.inspect_events`, each timed."""
        parts: list[Columns] = []
        ids: list[uuid.UUID] = []
        for begin in range(0, len(values), CHUNK):
            part = slice(begin, begin + CHUNK)
            decoded = self._timed("decode and validate", decode_batch, values[part], times[part], normaliser=self.enrichment.normaliser)
            columns = self._timed(
                "names, costs, columns",
                columns_of,
                decoded.events,
                np.array(times[part])[decoded.rows],
                self.names,
                self.enrichment.cost_of,
            )
            new_ids = [event.event_id or uuid.UUID(int=0) for event in decoded.events]
            found = self._timed("rules", self.rules.evaluate, decoded.events, columns, new_ids, times[0])
            self._timed("facts", self.rules.facts, decoded.events, columns, new_ids, found)
            parts.append(columns)
            ids += new_ids
        blocks = self._timed("fold into panes and users", fold, joined(parts), ids)
        self._timed("blocks as text", lambda: [to_text(block) for _, block in blocks])

    def _timed(self, name: str, step: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        began = time.process_time()
        result = step(*arguments, **options)
        self.spent[name] = self.spent.get(name, 0.0) + time.process_time() - began
        return result


def costs(prepared: list[tuple[list[bytes], list[int]]]) -> dict[str, float]:
    """Microseconds of CPU an event by step; the best of some rounds."""
    hop = _Hop()
    best: dict[str, float] = {}
    for _ in range(ROUNDS):
        hop.spent = {}
        for values, times in prepared:
            hop.batch(values, times)
        for name, seconds in hop.spent.items():
            micros = seconds * 1e6 / (BATCH * len(prepared))
            best[name] = round(min(best.get(name, micros), micros), 3)
    return best | {"all": round(sum(best.values()), 3)}


def run(row: Row) -> Row:
    """The row."""
    row.details = {"us_per_event": costs(batches())}
    return row
