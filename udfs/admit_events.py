"""The door of the split topology: raw records in, valid events for `llm-events` or refusals out, in one vectorised hop."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from pyflink.table import DataTypes, FunctionContext
from pyflink.table.types import DataType
from pyflink.table.udf import ScalarFunction, udf

from sentinel.events.decode import decode_batch
from sentinel.events.enrichment import Enrichment
from sentinel.events.model import PULSE
from sentinel.events.rejects import RefusedEventError, reject_from_error
from sentinel.identity import record_event_id
from udfs.config_watch import ConfigWatch, watch
from udfs.dead_letters import place_dead_letters

RESULT_TYPE: DataType = DataTypes.ROW(
    [
        DataTypes.FIELD("key", DataTypes.STRING()),
        DataTypes.FIELD("event", DataTypes.STRING()),
        DataTypes.FIELD("dlq", DataTypes.STRING()),
        DataTypes.FIELD("once_key", DataTypes.STRING()),
    ]
)
"""key: tenant|application, which keeps an application on one partition. Exactly one of event and dlq is set.
once_key: tenant and event id, where the tenant wants each id once."""


class AdmitEvents(ScalarFunction):  # type: ignore[misc]
    """Vectorised: (value, topic, partition, offset, record time) -> ROW of `RESULT_TYPE`."""

    def __init__(self, bootstrap: str, snapshot: bytes) -> None:
        self._bootstrap = bootstrap
        self._snapshot = snapshot

    def open(self, function_context: FunctionContext) -> None:
        self._watch: ConfigWatch = watch(self._bootstrap, self._snapshot)
        self._version = self._watch.current.version
        self._enrichment = Enrichment.of(self._watch.current)

    def eval(self, value: pd.Series, topic: pd.Series, partition: pd.Series, offset: pd.Series, record_time: pd.Series) -> pd.DataFrame:
        enrichment = self._current_enrichment()
        once = self._watch.current.deduplicated_tenants
        now_ms = time.time_ns() // 1_000_000
        values = value.tolist()
        times_ms = record_time.to_numpy("datetime64[ms]").astype(np.int64)
        out: dict[str, list[str | None]] = {field.name: [None] * len(values) for field in RESULT_TYPE.fields}
        decoded = decode_batch(values, times_ms.tolist(), normaliser=enrichment.normaliser)
        for row, event in zip(decoded.rows, decoded.events, strict=True):
            place = (topic.iat[row], int(partition.iat[row]), int(offset.iat[row])) if event.event_id is None else None
            try:
                out["event"][row] = enrichment.finish(_with_id(decoded.rewritten.get(row) or values[row], place), event).decode()
            except RefusedEventError as error:
                decoded.rejects.append((row, reject_from_error(error, values[row])))
            else:
                out["key"][row] = f"{event.tenant_id}|{event.application_id}"
                if event.tenant_id in once and place is None:
                    out["once_key"][row] = f"{event.tenant_id}|{event.event_id}"
        for row, text in enumerate(values):
            if text == PULSE:
                # The jobs behind `llm-events` need the time as well; a key of its own spreads the pulses of the partitions.
                out["key"][row], out["event"][row] = f"pulse-{partition.iat[row]}", PULSE.decode()
        place_dead_letters(out["dlq"], decoded.rejects, values, topic, partition, offset, times_ms, now_ms)
        return pd.DataFrame({name: pd.Series(column, dtype=object) for name, column in out.items()})

    def _current_enrichment(self) -> Enrichment:
        config = self._watch.current
        if config.version != self._version:
            self._enrichment, self._version = Enrichment.of(config), config.version
        return self._enrichment


def _with_id(value: bytes, place: tuple[str, int, int] | None) -> bytes:
    """The event's own text, which keeps what producers added; only an event without an id gets one, from its place in Kafka."""
    if place is None:
        return value
    document: dict[str, Any] = msgspec.json.decode(value)
    document["event_id"] = record_event_id(*place)
    return msgspec.json.encode(document)


def admit_events(bootstrap: str, snapshot: bytes) -> Any:
    """The function to register: `admit_events(value, topic, partition, offset, record_time)`."""
    return udf(AdmitEvents(bootstrap, snapshot), result_type=RESULT_TYPE, func_type="pandas", name="admit_events")
