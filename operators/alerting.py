"""The life cycle of alerts, keyed by alert (tenant, definition, group); waits run on processing time, since idle inputs must not stop them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from pyflink.common import Row
from pyflink.datastream import KeyedBroadcastProcessFunction, OutputTag, RuntimeContext

from operators.configured import ConfiguredFunction
from operators.sink_types import row_type
from sentinel.alerting.group import AlertGroup
from sentinel.alerting.records import AlertRecord, Output
from sentinel.anomaly import Anomaly
from sentinel.sink_rows import ALERT_COLUMNS, NOTIFICATION_COLUMNS, alert_row, notification_row
from sentinel.timestamps import to_rfc3339

OUTPUT_TYPE = row_type(ALERT_COLUMNS)
NOTIFICATIONS = OutputTag("notifications", row_type(NOTIFICATION_COLUMNS))


class Alerting(ConfiguredFunction):
    """In: rows (alert key, anomaly JSON). Out: rows of `ALERT_COLUMNS`; beside them `NOTIFICATIONS`."""

    def __init__(self, snapshot: bytes) -> None:
        super().__init__(snapshot, "alerting")

    def open(self, runtime_context: RuntimeContext) -> None:
        super().open(runtime_context)
        # Before it nobody watched: an outage of ours must not resolve alerts.
        self._running_since_ms = time.time_ns() // 1_000_000

    def process_element(self, value: Row, ctx: KeyedBroadcastProcessFunction.ReadOnlyContext) -> Iterable[Any]:
        group = AlertGroup.from_state(value[0], self.load(), self.config(ctx), self._running_since_ms)
        now_ms = ctx.timer_service().current_processing_time()
        return self._finish(group, group.on_anomaly(Anomaly.from_json(value[1]), now_ms), now_ms, ctx)

    def on_timer(self, timestamp: int, ctx: KeyedBroadcastProcessFunction.OnTimerContext) -> Iterable[Any]:
        group = AlertGroup.from_state(ctx.get_current_key(), self.load(), self.config(ctx), self._running_since_ms)
        return self._finish(group, group.on_timer(timestamp), timestamp, ctx)

    def _finish(self, group: AlertGroup, outputs: list[Output], now_ms: int, ctx: Any) -> Iterable[Any]:
        self.save(group.to_state())
        due_ms = group.next_timer()
        if due_ms is not None:
            ctx.timer_service().register_processing_time_timer(due_ms)
        for output in outputs:
            if isinstance(output, AlertRecord):
                yield Row(*alert_row(output, to_rfc3339(now_ms)))
            else:
                yield NOTIFICATIONS, Row(*notification_row(output))
