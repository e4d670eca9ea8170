"""The one Python hop of the per-event path: raw records in, partial pane blocks, findings and refusals out.

Decoding, validation, per-event rules and folding share one crossing between the JVM and Python, because the crossing costs more than the work.
A batch of N records gives N texts, as a vectorised function must. What there is to say are items (`BLOCK`, `ANOMALY`, `DEAD_LETTER`) in the first
texts, one each, or several on lines of their own where a batch has more items than records; the other texts are empty and dropped right behind the hop.
One text a record, and not a row with a column for each kind: at low rates a bundle is a few records, and each column costs it as much as those.
"""

from __future__ import annotations

import gc
import time
import uuid
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from pyflink.table import DataTypes, FunctionContext
from pyflink.table.udf import ScalarFunction, udf

from operators.bundle_end import end_bundles_at_once
from sentinel.config.runtime import RuntimeConfig
from sentinel.detection.facts import Fact
from sentinel.detection.failures import Failures
from sentinel.detection.rules.engine import EventRules
from sentinel.events.columns import Columns, IntColumn, columns_of, joined
from sentinel.events.decode import CHUNK, decode_batch
from sentinel.events.enrichment import Enrichment
from sentinel.events.folding import fold
from sentinel.identity import record_event_id
from sentinel.kafka_access import KafkaAccess
from sentinel.pane_blocks import to_text
from udfs.batches_in_place import read_batches_in_place
from udfs.config_watch import ConfigWatch, watch
from udfs.dead_letters import Place, dead_letters
from udfs.texts import spread

BLOCK, ANOMALY, DEAD_LETTER = "B", "A", "D"
"""What an item of the result begins with: a partial pane block (then its shard in three digits, its second in thirteen (epoch ms), and
`sentinel.pane_blocks`), the JSON of an anomaly, or that of a dead letter."""

MOST_OFFSETS = 2**48
"""Of a partition: one that takes 100,000 records a second gets there after 89 years."""


class InspectEvents(ScalarFunction):  # type: ignore[misc]
    """Vectorised: (value, place, record time in epoch ms) -> items; place as `place_sql` makes it."""

    def __init__(self, kafka: KafkaAccess, snapshot: bytes, topics: Sequence[str]) -> None:
        self._kafka = kafka
        self._topics = tuple(topics)
        self._snapshot = snapshot

    def is_deterministic(self) -> bool:
        """It follows the configuration; were it deterministic, Flink would call it a second time to learn which texts are empty."""
        return False

    def open(self, function_context: FunctionContext) -> None:
        self._watch: ConfigWatch = watch(self._kafka, self._snapshot)
        end_bundles_at_once()
        read_batches_in_place()
        self._failures = Failures()
        self._rules = EventRules(self._watch.current, self._failures)
        self._enrichment = Enrichment.of(self._watch.current)
        self._names = self._enrichment.new_names()
        # Libraries and rules stay for good: out of the collector's sight they cost it nothing (2 to 3 µs an event otherwise).
        gc.collect()
        gc.freeze()

    def eval(self, value: pd.Series, place: pd.Series, time_ms: pd.Series) -> pd.Series:
        # A batch makes tens of thousands of objects and no cycle among them; collecting in the midst of it would only walk over all of them.
        gc.disable()
        try:
            return pd.Series(spread(self._inspect(value.tolist(), place, time_ms.to_numpy(np.int64)), len(value)), copy=False)
        finally:
            gc.enable()

    def _inspect(self, values: list[bytes | None], places: pd.Series, times_ms: IntColumn) -> list[str]:
        """The items of a batch."""
        rules = self._current_rules(self._watch.current)
        if self._names.full:
            self._names = self._enrichment.new_names()
        now_ms = time.time_ns() // 1_000_000
        items: list[str] = []
        parts: list[Columns] = []
        ids: list[uuid.UUID] = []
        facts: list[Fact] = []

        def place_of(row: int) -> Place:
            number, offset = divmod(int(places.iat[row]), MOST_OFFSETS)
            partition, topic = divmod(number, len(self._topics))
            return self._topics[topic], partition, offset

        for begin in range(0, len(values), CHUNK):
            part = slice(begin, begin + CHUNK)
            decoded = decode_batch(values[part], times_ms[part].tolist(), normaliser=self._enrichment.normaliser)
            rows = [begin + row for row in decoded.rows]
            rejects = [(begin + row, reject) for row, reject in decoded.rejects]
            items += [DEAD_LETTER + letter for _, letter in dead_letters(rejects, values, place_of, times_ms, now_ms)]
            if decoded.events:
                columns = columns_of(decoded.events, times_ms[rows], self._names, self._enrichment.cost_of)
                new_ids = [
                    event.event_id or uuid.UUID(record_event_id(*place_of(row))) for row, event in zip(rows, decoded.events, strict=True)
                ]
                found = rules.evaluate(decoded.events, columns, new_ids, now_ms)
                if found:
                    self._enrichment.redact_anomalies(found)
                    items += [ANOMALY + anomaly.to_json().decode() for anomaly in found]
                facts += rules.facts(decoded.events, columns, new_ids, found)
                parts.append(columns)
                ids += new_ids
        if ids:
            items += [f"{BLOCK}{shard:03d}{block.start_ms:013d}{to_text(block)}" for shard, block in fold(joined(parts), ids, facts)]
        return items

    def _current_rules(self, config: RuntimeConfig) -> EventRules:
        if config.version != self._rules.config.version:
            self._rules = EventRules(config, self._failures)
            self._enrichment = Enrichment.of(config)
            self._names = self._enrichment.new_names()
        return self._rules


def place_sql(topics: Sequence[str]) -> str:
    """A record's partition, topic and offset as one number, in SQL: a batch pays for every column. It fits for up to 2**15 partitions of all topics."""
    topic = " ".join(f"WHEN '{name}' THEN {number}" for number, name in enumerate(topics))
    number = f"`partition` * {len(topics)} + CASE `topic` {topic} END" if len(topics) > 1 else "`partition`"
    return f"CAST({number} AS BIGINT) * {MOST_OFFSETS} + `offset`"


def inspect_events(kafka: KafkaAccess, snapshot: bytes, topics: Sequence[str]) -> Any:
    """The function to register: `inspect_events(value, place, time_ms)`, place as `place_sql` makes it."""
    return udf(InspectEvents(kafka, snapshot, topics), result_type=DataTypes.STRING(), func_type="pandas", name="inspect_events")
