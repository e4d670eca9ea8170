"""The door of the split topology: raw records in, valid events for `llm-events` or refusals out, in one vectorised hop."""

from __future__ import annotations

import gc
import time
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from pyflink.table import DataTypes, FunctionContext
from pyflink.table.types import DataType
from pyflink.table.udf import ScalarFunction, udf

from operators.bundle_end import end_bundles_at_once
from sentinel.events.decode import CHUNK, decode_batch
from sentinel.events.enrichment import Enrichment
from sentinel.events.halves import REQUEST, Halves, strip_latency, without_latency
from sentinel.events.model import PULSE, Event
from sentinel.events.rejects import RefusedEventError, Reject, reject_from_error
from sentinel.identity import once_key, record_event_id
from sentinel.kafka_access import KafkaAccess
from udfs.batches_in_place import read_batches_in_place
from udfs.config_watch import ConfigWatch, watch
from udfs.dead_letters import Place, dead_letters

RESULT_TYPE: DataType = DataTypes.ROW(
    [
        DataTypes.FIELD("key", DataTypes.STRING()),
        DataTypes.FIELD("event", DataTypes.STRING()),
        DataTypes.FIELD("dlq", DataTypes.STRING()),
        DataTypes.FIELD("once_key", DataTypes.STRING()),
        DataTypes.FIELD("part", DataTypes.STRING()),
        DataTypes.FIELD("halves", DataTypes.STRING()),
    ]
)
"""key: tenant|application, which keeps an application on one partition. event or dlq: the event as it goes on, or its dead letter; neither for an answer
that goes by its request. once_key: a digest of tenant and event id, where the tenant wants each id once. part, halves: requests and answers to be paired
(`sentinel.events.halves`), in the row of the first."""


Out = dict[str, list[str | None]]
"""The columns of `RESULT_TYPE`."""


class AdmitEvents(ScalarFunction):  # type: ignore[misc]
    """Vectorised: (value, topic, partition, offset, record time) -> ROW of `RESULT_TYPE`."""

    def __init__(self, kafka: KafkaAccess, snapshot: bytes) -> None:
        self._kafka = kafka
        self._snapshot = snapshot

    def open(self, function_context: FunctionContext) -> None:
        end_bundles_at_once()
        read_batches_in_place()
        self._watch: ConfigWatch = watch(self._kafka, self._snapshot)
        self._version = self._watch.current.version
        self._enrichment = Enrichment.of(self._watch.current)
        # What is loaded stays for good: out of the collector's sight it costs it nothing.
        gc.collect()
        gc.freeze()

    def eval(self, value: pd.Series, topic: pd.Series, partition: pd.Series, offset: pd.Series, record_time: pd.Series) -> pd.DataFrame:
        # A batch makes tens of thousands of objects and no cycle among them; collecting in the midst of it would only walk over all of them.
        gc.disable()
        try:
            return self._admit(value, topic, partition, offset, record_time)
        finally:
            gc.enable()

    def _admit(self, value: pd.Series, topic: pd.Series, partition: pd.Series, offset: pd.Series, record_time: pd.Series) -> pd.DataFrame:
        enrichment = self._current_enrichment()
        now_ms = time.time_ns() // 1_000_000
        values = value.tolist()
        times_ms = record_time.to_numpy("datetime64[ms]").astype(np.int64)

        def place_of(row: int) -> Place:
            return topic.iat[row], int(partition.iat[row]), int(offset.iat[row])

        out: Out = {field.name: [None] * len(values) for field in RESULT_TYPE.fields}
        halves = Halves(self._watch.current.pairing)
        rejects: list[tuple[int, Reject]] = []
        for begin in range(0, len(values), CHUNK):
            decoded = decode_batch(
                values[begin : begin + CHUNK], times_ms[begin : begin + CHUNK].tolist(), normaliser=enrichment.normaliser
            )
            rejects += [(begin + row, reject) for row, reject in decoded.rejects]
            for row, event in zip(decoded.rows, decoded.events, strict=True):
                at = begin + row
                place = place_of(at) if event.event_id is None else None
                try:
                    text = enrichment.finish(_with_id(decoded.rewritten.get(row) or values[at], place), event).decode()
                except RefusedEventError as error:
                    rejects.append((at, reject_from_error(error, values[at])))
                else:
                    self._pass_on(at, event, text, int(times_ms[at]), out, halves)
        for row, record in enumerate(values):
            if record == PULSE:
                # The jobs behind `llm-events` need the time as well; a key of its own spreads the pulses of the partitions.
                out["key"][row], out["event"][row] = f"pulse-{partition.iat[row]}", PULSE.decode()
        for row, letter in dead_letters(rejects, values, place_of, times_ms, now_ms):
            out["dlq"][row] = letter
        for row, reject in rejects if self._watch.current.pairing.anybody else ():
            self._wait_for_request(row, reject, values[row], int(times_ms[row]), out, halves)
        for row, part, text in halves.texts():
            out["part"][row], out["halves"][row] = part, text
        return pd.DataFrame({name: pd.Series(column, dtype=object) for name, column in out.items()})

    def _pass_on(self, row: int, event: Event, text: str, time_ms: int, out: Out, halves: Halves) -> None:
        out["key"][row] = f"{event.tenant_id}|{event.application_id}"
        once = None
        # An event without an id of its producer has one of its place in Kafka, which no other has.
        if event.event_id is not None and event.tenant_id in self._watch.current.deduplicated_tenants:
            once = out["once_key"][row] = once_key(event.tenant_id, event.event_id)
        paired = halves.concern(event)
        if paired:
            halves.add(row, event, text, time_ms, once)
        if not paired or event.event_type == REQUEST:
            out["event"][row] = text

    def _wait_for_request(self, row: int, reject: Reject, value: bytes | None, time_ms: int, out: Out, halves: Halves) -> None:
        """An answer that does not say how long it took goes on when its request comes, and takes its dead letter along."""
        found = without_latency(value, reject, time_ms, self._enrichment.normaliser)
        if found is None:
            return
        canonical, event = found
        if event.event_id is None or not halves.concern(event):
            return
        once = once_key(event.tenant_id, event.event_id) if event.tenant_id in self._watch.current.deduplicated_tenants else None
        try:
            text = strip_latency(self._enrichment.finish(canonical, event))
        except RefusedEventError:
            return
        halves.add(row, event, text, time_ms, once, out["dlq"][row])
        out["dlq"][row] = None

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


def admit_events(kafka: KafkaAccess, snapshot: bytes) -> Any:
    """The function to register: `admit_events(value, topic, partition, offset, record_time)`."""
    return udf(AdmitEvents(kafka, snapshot), result_type=RESULT_TYPE, func_type="pandas", name="admit_events")
