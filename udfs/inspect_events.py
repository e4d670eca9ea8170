"""The one Python hop of the per-event path: raw records in, partial pane blocks, findings and refusals out.

Decoding, validation, per-event rules and folding share one crossing between the JVM and Python, because the crossing costs more than the work.
A batch of N records gives N rows, as a vectorised function must. What there is to say sits in the first rows, a refusal in the row of its record; the
others are empty and dropped right behind the hop.
"""

from __future__ import annotations

import gc
import time
import uuid
from typing import Any

import numpy as np
import pandas as pd
from pyflink.table import DataTypes, FunctionContext
from pyflink.table.types import DataType
from pyflink.table.udf import ScalarFunction, udf

from sentinel.config.runtime import RuntimeConfig
from sentinel.detection.facts import Fact
from sentinel.detection.failures import Failures
from sentinel.detection.rules.engine import EventRules
from sentinel.events.columns import Columns, columns_of, joined
from sentinel.events.decode import decode_batch
from sentinel.events.enrichment import Enrichment
from sentinel.events.folding import fold
from sentinel.identity import record_event_id
from sentinel.kafka_access import KafkaAccess
from sentinel.pane_blocks import PaneBlock, to_text
from udfs.config_watch import ConfigWatch, watch
from udfs.dead_letters import place_dead_letters

RESULT_TYPE: DataType = DataTypes.ROW(
    [
        DataTypes.FIELD("shard", DataTypes.INT()),
        DataTypes.FIELD("start_ms", DataTypes.BIGINT()),
        DataTypes.FIELD("block", DataTypes.STRING()),
        DataTypes.FIELD("anomalies", DataTypes.STRING()),
        DataTypes.FIELD("dlq", DataTypes.STRING()),
    ]
)
"""shard, start_ms, block: a partial pane block (`sentinel.pane_blocks`); anomalies: anomaly records, one a line; dlq: a dead letter."""


CHUNK = 1_000
"""Events that are decoded at a time. Ten thousand decoded events fall out of the processor's cache: decoding then takes twice as long an event."""


class InspectEvents(ScalarFunction):  # type: ignore[misc]
    """Vectorised: (value, topic, partition, offset, record time) -> ROW of `RESULT_TYPE`."""

    def __init__(self, kafka: KafkaAccess, snapshot: bytes) -> None:
        self._kafka = kafka
        self._snapshot = snapshot

    def open(self, function_context: FunctionContext) -> None:
        self._watch: ConfigWatch = watch(self._kafka, self._snapshot)
        self._failures = Failures()
        self._rules = EventRules(self._watch.current, self._failures)
        self._enrichment = Enrichment.of(self._watch.current)
        self._names = self._enrichment.new_names()
        # Libraries and rules stay for good: out of the collector's sight they cost it nothing (2 to 3 µs an event otherwise).
        gc.collect()
        gc.freeze()

    def eval(self, value: pd.Series, topic: pd.Series, partition: pd.Series, offset: pd.Series, record_time: pd.Series) -> pd.DataFrame:
        # A batch makes tens of thousands of objects and no cycle among them; collecting in the midst of it would only walk over all of them.
        gc.disable()
        try:
            return self._inspect(value, topic, partition, offset, record_time)
        finally:
            gc.enable()

    def _inspect(self, value: pd.Series, topic: pd.Series, partition: pd.Series, offset: pd.Series, record_time: pd.Series) -> pd.DataFrame:
        rules = self._current_rules(self._watch.current)
        if self._names.full:
            self._names = self._enrichment.new_names()
        now_ms = time.time_ns() // 1_000_000
        size = len(value)
        out: dict[str, Any] = {name: np.full(size, None, object) for name in ("block", "anomalies", "dlq")}
        out |= {"shard": np.zeros(size, np.int32), "start_ms": np.zeros(size, np.int64)}
        values = value.tolist()
        times_ms = record_time.to_numpy("datetime64[ms]").astype(np.int64)
        parts: list[Columns] = []
        ids: list[uuid.UUID] = []
        facts: list[Fact] = []
        for begin in range(0, size, CHUNK):
            part = slice(begin, begin + CHUNK)
            decoded = decode_batch(values[part], times_ms[part].tolist(), normaliser=self._enrichment.normaliser)
            rows = [begin + row for row in decoded.rows]
            place_dead_letters(
                out["dlq"], [(begin + row, reject) for row, reject in decoded.rejects], values, topic, partition, offset, times_ms, now_ms
            )
            if decoded.events:
                columns = columns_of(decoded.events, times_ms[rows], self._names, self._enrichment.cost_of)
                new_ids = [
                    event.event_id or uuid.UUID(record_event_id(topic.iat[row], int(partition.iat[row]), int(offset.iat[row])))
                    for row, event in zip(rows, decoded.events, strict=True)
                ]
                found = rules.evaluate(decoded.events, columns, new_ids, now_ms)
                if found:
                    self._enrichment.redact_anomalies(found)
                    out["anomalies"][begin] = "\n".join(anomaly.to_json().decode() for anomaly in found)
                facts += rules.facts(decoded.events, columns, new_ids, found)
                parts.append(columns)
                ids += new_ids
        if ids:
            _place_blocks(out, fold(joined(parts), ids, facts))
        return pd.DataFrame({field.name: out[field.name] for field in RESULT_TYPE.fields}, copy=False)

    def _current_rules(self, config: RuntimeConfig) -> EventRules:
        if config.version != self._rules.config.version:
            self._rules = EventRules(config, self._failures)
            self._enrichment = Enrichment.of(config)
            self._names = self._enrichment.new_names()
        return self._rules


def _place_blocks(out: dict[str, Any], blocks: list[tuple[int, PaneBlock]]) -> None:
    """One block a row. There are never more blocks than events: each holds one at least."""
    count = len(blocks)
    out["shard"][:count] = [shard for shard, _ in blocks]
    out["start_ms"][:count] = [block.start_ms for _, block in blocks]
    out["block"][:count] = [to_text(block) for _, block in blocks]


def inspect_events(kafka: KafkaAccess, snapshot: bytes) -> Any:
    """The function to register: `inspect_events(value, topic, partition, offset, record_time)`."""
    return udf(InspectEvents(kafka, snapshot), result_type=RESULT_TYPE, func_type="pandas", name="inspect_events")
