"""Correlation, scoring and folding of anomalies, keyed by tenant and application; decides which alerts each anomaly concerns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pyflink.common import Row, Types
from pyflink.datastream import KeyedBroadcastProcessFunction, OutputTag

from operators.configured import ConfiguredFunction
from operators.sink_types import row_type
from sentinel.alerting.inhibition import inhibit_sources
from sentinel.alerting.matching import match
from sentinel.anomaly import Anomaly
from sentinel.config.runtime import RuntimeConfig
from sentinel.correlation import Correlator
from sentinel.sink_rows import ANOMALY_COLUMNS, anomaly_row

INPUT_TYPE = Types.ROW([Types.STRING(), Types.STRING()])
"""(tenant|application, anomaly JSON)"""

OUTPUT_TYPE = row_type(ANOMALY_COLUMNS)
ROUTED = OutputTag("routed", Types.ROW([Types.STRING(), Types.STRING()]))
"""(alert key, anomaly JSON) for every alert definition that the anomaly matches."""
INHIBITING = OutputTag("inhibiting", Types.ROW_NAMED(["record"], [Types.STRING()]))
"""JSON of `InhibitSource`: alerts that fire and hold back others."""


class Correlation(ConfiguredFunction):
    """In: rows of `INPUT_TYPE`. Out: rows of `ANOMALY_COLUMNS`; beside them `ROUTED`."""

    def __init__(self, snapshot: bytes) -> None:
        super().__init__(snapshot, "correlation")

    def process_element(self, value: Row, ctx: KeyedBroadcastProcessFunction.ReadOnlyContext) -> Iterable[Any]:
        config = self.config(ctx)
        correlator = Correlator.from_state(self.load(), config)
        now_ms = ctx.timer_service().current_processing_time()
        return self._finish(correlator, correlator.on_anomaly(Anomaly.from_json(value[1]), now_ms), config, now_ms, ctx)

    def on_timer(self, timestamp: int, ctx: KeyedBroadcastProcessFunction.OnTimerContext) -> Iterable[Any]:
        config = self.config(ctx)
        correlator = Correlator.from_state(self.load(), config)
        return self._finish(correlator, correlator.on_timer(timestamp), config, timestamp, ctx)

    def _finish(self, correlator: Correlator, anomalies: list[Anomaly], config: RuntimeConfig, now_ms: int, ctx: Any) -> Iterable[Any]:
        self.save(correlator.to_state())
        due_ms = correlator.next_timer()
        if due_ms is not None:
            ctx.timer_service().register_processing_time_timer(due_ms)
        for anomaly in anomalies:
            values = anomaly_row(anomaly)
            yield Row(*values)
            keys = match(anomaly, config)
            for key in keys:
                yield ROUTED, Row(key.to_text(), values[-1])
            for source in inhibit_sources(anomaly, keys, config, now_ms):
                yield INHIBITING, Row(source.to_json())
