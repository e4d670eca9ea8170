"""The one Python hop of the per-event path: raw records in, partial panes, findings and refusals out.

Decoding, validation, per-event rules and folding share one crossing between the JVM and Python, because the crossing costs more than the work.
A batch of N records gives N rows, as a vectorised function must; the partial panes of the batch (never more than N) sit in its first rows, a refusal
sits in the row of its record, and what is left is empty and dropped right behind the hop.
"""

from __future__ import annotations

import gc
import time
from typing import Any

import numpy as np
import pandas as pd
from pyflink.table import DataTypes, FunctionContext
from pyflink.table.types import DataType
from pyflink.table.udf import ScalarFunction, udf

from sentinel.config.runtime import RuntimeConfig
from sentinel.detection.facts import Fact, fact_line
from sentinel.detection.failures import Failures
from sentinel.detection.rules.engine import EventRules
from sentinel.events.columns import Columns, columns_of
from sentinel.events.decode import decode_batch
from sentinel.events.folding import fold_panes, fold_user_panes
from sentinel.identity import record_event_id
from sentinel.panes import shard_of
from udfs.config_watch import ConfigWatch, watch
from udfs.dead_letters import place_dead_letters

RESULT_TYPE: DataType = DataTypes.ROW(
    [
        DataTypes.FIELD("pane_keys", DataTypes.ARRAY(DataTypes.STRING())),
        DataTypes.FIELD("pane_sums", DataTypes.ARRAY(DataTypes.BIGINT())),
        DataTypes.FIELD("user_key", DataTypes.STRING()),
        DataTypes.FIELD("user_start_ms", DataTypes.BIGINT()),
        DataTypes.FIELD("user_events", DataTypes.BIGINT()),
        DataTypes.FIELD("anomalies", DataTypes.ARRAY(DataTypes.STRING())),
        DataTypes.FIELD("dlq", DataTypes.STRING()),
        DataTypes.FIELD("facts", DataTypes.ARRAY(DataTypes.STRING())),
    ]
)
"""pane_keys: tenant, application, model, exemplars of latency, tokens and cost, any event id.
pane_sums: shard, start (epoch ms), `PANE_SUMS`, 18 histogram words.
user_key: shard, tenant, application and user joined by tabs. There are nearly as many user rows as events, hence no arrays.
facts: shard, second (epoch ms), lines of facts for the rules with memory; all of a shard and second in one row."""


class InspectEvents(ScalarFunction):  # type: ignore[misc]
    """Vectorised: (value, topic, partition, offset, record time) -> ROW of `RESULT_TYPE`."""

    def __init__(self, bootstrap: str, snapshot: bytes) -> None:
        self._bootstrap = bootstrap
        self._snapshot = snapshot

    def open(self, function_context: FunctionContext) -> None:
        self._watch: ConfigWatch = watch(self._bootstrap, self._snapshot)
        self._failures = Failures()
        self._rules = EventRules(self._watch.current, self._failures)
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
        now_ms = time.time_ns() // 1_000_000
        size = len(value)
        out: dict[str, Any] = {field.name: [None] * size for field in RESULT_TYPE.fields}
        out["user_start_ms"] = np.zeros(size, np.int64)
        out["user_events"] = np.zeros(size, np.int64)
        values = value.tolist()
        times_ms = record_time.to_numpy("datetime64[ms]").astype(np.int64)
        decoded = decode_batch(values, times_ms.tolist())
        place_dead_letters(out["dlq"], decoded.rejects, values, topic, partition, offset, times_ms, now_ms)
        if decoded.events:
            columns = columns_of(decoded.events, times_ms[decoded.rows])
            ids = [
                event.event_id or record_event_id(topic.iat[row], int(partition.iat[row]), int(offset.iat[row]))
                for row, event in zip(decoded.rows, decoded.events, strict=True)
            ]
            found = rules.evaluate(decoded.events, columns, ids, now_ms)
            if found:
                out["anomalies"][0] = [anomaly.to_json().decode() for anomaly in found]
            _place_facts(out["facts"], rules.facts(decoded.events, columns, ids, found))
            _place_panes(out, columns, ids)
        return pd.DataFrame({name: pd.Series(column, dtype=object if isinstance(column, list) else None) for name, column in out.items()})

    def _current_rules(self, config: RuntimeConfig) -> EventRules:
        if config.version != self._rules.config.version:
            self._rules = EventRules(config, self._failures)
        return self._rules


def _place_panes(out: dict[str, Any], columns: Columns, ids: list[Any]) -> None:
    panes = fold_panes(columns, ids)
    count = len(panes.keys)
    out["pane_keys"][:count] = [[*key, *exemplars] for key, exemplars in zip(panes.keys, panes.exemplars, strict=True)]
    out["pane_sums"][:count] = np.column_stack((_shards(panes.keys), panes.starts_ms, panes.sums)).tolist()
    users = fold_user_panes(columns)
    count = len(users.keys)
    out["user_key"][:count] = [
        f"{shard_of(tenant, application)}\t{tenant}\t{application}\t{user}" for tenant, application, user in users.keys
    ]
    out["user_start_ms"][:count] = users.starts_ms
    out["user_events"][:count] = users.events


def _place_facts(out: list[Any], facts: list[Fact]) -> None:
    """Facts of a shard and second share a row: never more rows than events."""
    lines: dict[tuple[int, int], list[str]] = {}
    for fact in facts:
        lines.setdefault((shard_of(fact.tenant_id, fact.application_id), fact.start_ms), []).append(fact_line(fact))
    for row, ((shard, start_ms), own) in enumerate(lines.items()):
        out[row] = [str(shard), str(start_ms), "\n".join(own)]


def _shards(keys: list[tuple[str, str, str]]) -> list[int]:
    return [shard_of(tenant, application) for tenant, application, _ in keys]


def inspect_events(bootstrap: str, snapshot: bytes) -> Any:
    """The function to register: `inspect_events(value, topic, partition, offset, record_time)`."""
    return udf(InspectEvents(bootstrap, snapshot), result_type=RESULT_TYPE, func_type="pandas", name="inspect_events")
