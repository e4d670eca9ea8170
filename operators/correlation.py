"""Correlation, scoring and folding of anomalies, keyed by tenant; decides which alerts each anomaly concerns."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import msgspec
from pyflink.common import Row, Types
from pyflink.datastream import KeyedBroadcastProcessFunction, OutputTag, RuntimeContext

from operators.broadcast_configuration import BroadcastConfiguration
from operators.journal import JournaledState
from operators.sink_types import row_type
from sentinel.alerting.blocks import ShardBlocks
from sentinel.alerting.control import Control
from sentinel.alerting.inhibition import inhibit_sources
from sentinel.alerting.matching import match
from sentinel.anomaly import Anomaly
from sentinel.config.runtime import RuntimeConfig
from sentinel.correlation import Correlator
from sentinel.sink_rows import ANOMALY_COLUMNS, anomaly_row

INPUT_TYPE = Types.ROW([Types.STRING(), Types.STRING()])
"""(tenant, JSON of an anomaly or of a request)"""

OUTPUT_TYPE = row_type(ANOMALY_COLUMNS)
ROUTED = OutputTag("routed", Types.ROW_NAMED(["shard", "record"], [Types.STRING(), Types.STRING()]))
"""(shard, block) of `sentinel.alerting.blocks`, for the alerts that the anomalies concern."""
INHIBITING = OutputTag("inhibiting", Types.ROW_NAMED(["record"], [Types.STRING()]))
"""JSON of `InhibitSource`: alerts that fire and hold back others."""

_CONTROL = '{"control_id"'
"""What the JSON of a request begins with; an anomaly's begins otherwise."""
_log = logging.getLogger(__name__)
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(tuple[int, bytes])


class Correlation(BroadcastConfiguration):
    """In: rows of `INPUT_TYPE`. Out: rows of `ANOMALY_COLUMNS`; beside them, with `route`, `ROUTED` and `INHIBITING`."""

    def __init__(self, snapshot: bytes, route: bool) -> None:
        super().__init__(snapshot)
        self._route = route
        # A correlator lives as long as this instance, its input is written at each call; a restore makes new instances.
        self._correlators: dict[str, Correlator] = {}
        self._configs: dict[str, RuntimeConfig] = {}
        self._timers: dict[str, int] = {}

    def open(self, runtime_context: RuntimeContext) -> None:
        super().open(runtime_context)
        self._journal = JournaledState(runtime_context, "correlation")

    def process_element(self, value: Row, ctx: KeyedBroadcastProcessFunction.ReadOnlyContext) -> Iterable[Any]:
        tenant_id, record = value
        correlator = self._correlator(tenant_id, ctx)
        now_ms = ctx.timer_service().current_processing_time()
        anomalies = _take(correlator, record, now_ms)
        return self._finish(tenant_id, correlator, (now_ms, record.encode()), anomalies, ctx)

    def on_timer(self, timestamp: int, ctx: KeyedBroadcastProcessFunction.OnTimerContext) -> Iterable[Any]:
        tenant_id = ctx.get_current_key()
        correlator = self._correlator(tenant_id, ctx)
        self._timers.pop(tenant_id, None)
        return self._finish(tenant_id, correlator, (timestamp, b""), correlator.on_timer(timestamp), ctx)

    def _correlator(self, tenant_id: str, ctx: KeyedBroadcastProcessFunction.ReadOnlyContext) -> Correlator:
        config = self.config(ctx)
        correlator = self._correlators.get(tenant_id)
        if correlator is None:
            correlator = self._correlators[tenant_id] = self._restored(config)
            self._configs[tenant_id] = config
        elif config is not self._configs[tenant_id]:
            correlator.apply_config(config)
            self._configs[tenant_id] = config
            # The journal is read back under one configuration.
            self._journal.replace(tenant_id, correlator.to_state())
        return correlator

    def _restored(self, config: RuntimeConfig) -> Correlator:
        snapshot, entries = self._journal.read()
        correlator = Correlator.from_state(snapshot, config)
        for time_ms, record in map(_decoder.decode, entries):
            # What came of it has left before the checkpoint.
            if record:
                _take(correlator, record, time_ms)
            else:
                correlator.on_timer(time_ms)
        return correlator

    def _finish(
        self,
        tenant_id: str,
        correlator: Correlator,
        step: tuple[int, bytes],
        anomalies: list[Anomaly],
        ctx: KeyedBroadcastProcessFunction.ReadOnlyContext,
    ) -> Iterable[Any]:
        if self._journal.append(tenant_id, _encoder.encode(step)):
            self._journal.replace(tenant_id, correlator.to_state())
        due_ms = correlator.next_timer()
        if due_ms is not None and due_ms < self._timers.get(tenant_id, due_ms + 1):
            self._timers[tenant_id] = due_ms
            ctx.timer_service().register_processing_time_timer(due_ms)
        config, blocks = self._configs[tenant_id], ShardBlocks()
        for anomaly in anomalies:
            values = anomaly_row(anomaly)
            yield Row(*values)
            if not self._route:
                continue
            keys = match(anomaly, config)
            for key in keys:
                blocks.add(key.to_text(), str(values[-1]))
            for source in inhibit_sources(anomaly, keys, config, step[0]):
                yield INHIBITING, Row(source.to_json())
        for shard, block in blocks.take():
            yield ROUTED, Row(shard, block)


def _take(correlator: Correlator, record: str | bytes, now_ms: int) -> list[Anomaly]:
    text = record.decode() if isinstance(record, bytes) else record
    if not text.startswith(_CONTROL):
        return correlator.on_anomaly(Anomaly.from_json(text), now_ms)
    try:
        correlator.on_control(Control.from_json(text), now_ms)
    except msgspec.ValidationError as error:
        _log.error("a request is not readable (%s)", error)
    return []
