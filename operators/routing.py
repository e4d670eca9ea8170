"""Which alerts an anomaly concerns, for the alerting job of the split topology (standalone decides it in correlation)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pyflink.common import Row, Types
from pyflink.datastream import KeyedBroadcastProcessFunction, OutputTag

from operators.broadcast_configuration import BroadcastConfiguration
from sentinel.alerting.inhibition import inhibit_sources
from sentinel.alerting.matching import match
from sentinel.anomaly import Anomaly

INPUT_TYPE = Types.ROW([Types.STRING(), Types.STRING()])
"""(whatever spreads the work, anomaly JSON)"""

OUTPUT_TYPE = Types.ROW([Types.STRING(), Types.STRING()])
"""(alert key, anomaly JSON)"""
INHIBITING = OutputTag("inhibiting", Types.ROW_NAMED(["record"], [Types.STRING()]))
"""JSON of `InhibitSource`: alerts that fire and hold back others."""


class Routing(BroadcastConfiguration):
    """In: rows of `INPUT_TYPE`. Out: rows of `OUTPUT_TYPE`. Keeps no state of its own."""

    def process_element(self, value: Row, ctx: KeyedBroadcastProcessFunction.ReadOnlyContext) -> Iterable[Any]:
        anomaly, config = Anomaly.from_json(value[1]), self.config(ctx)
        keys = match(anomaly, config)
        for key in keys:
            yield Row(key.to_text(), value[1])
        for source in inhibit_sources(anomaly, keys, config, ctx.timer_service().current_processing_time()):
            yield INHIBITING, Row(source.to_json())
