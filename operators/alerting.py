"""The life cycle of alerts, keyed by alert (tenant, definition, group); waits run on processing time, since idle inputs must not stop them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

from pyflink.common import Row, Types
from pyflink.datastream import KeyedBroadcastProcessFunction, OutputTag, RuntimeContext

from operators.muted import MutedFunction
from operators.sink_types import row_type
from sentinel.alerting.control import Answer, Control
from sentinel.alerting.group import AlertGroup
from sentinel.alerting.matching import AlertKey
from sentinel.alerting.records import AlertRecord, NotificationRecord, Output
from sentinel.anomaly import Anomaly
from sentinel.sink_rows import (
    ALERT_COLUMNS,
    CONTROL_COLUMNS,
    DECISION_COLUMNS,
    NOTIFICATION_COLUMNS,
    alert_row,
    control_row,
    decision_row,
    notification_row,
)
from sentinel.timestamps import to_rfc3339

INPUT_TYPE = Types.ROW([Types.STRING(), Types.STRING()])
"""(alert key, JSON of an anomaly or of a request)"""
OUTPUT_TYPE = row_type(ALERT_COLUMNS)
NOTIFICATIONS = OutputTag("notifications", row_type(NOTIFICATION_COLUMNS))
DECISIONS = OutputTag("decisions", row_type(DECISION_COLUMNS))
CONTROLS = OutputTag("controls", row_type(CONTROL_COLUMNS))
_CONTROL = '{"control_id"'
"""What the JSON of a request begins with; an anomaly's begins otherwise."""


class Alerting(MutedFunction):
    """In: rows of `INPUT_TYPE`. Out: rows of `ALERT_COLUMNS`; beside them the other three."""

    def __init__(self, snapshot: bytes) -> None:
        super().__init__(snapshot, "alerting")

    def open(self, runtime_context: RuntimeContext) -> None:
        super().open(runtime_context)
        # Before it nobody watched: an outage of ours must not resolve alerts.
        self._running_since_ms = time.time_ns() // 1_000_000

    def process_element(self, value: Row, ctx: KeyedBroadcastProcessFunction.ReadOnlyContext) -> Iterable[Any]:
        group = self._group(value[0], ctx)
        now_ms = ctx.timer_service().current_processing_time()
        if not value[1].startswith(_CONTROL):
            yield from self._finish(group, group.on_anomaly(Anomaly.from_json(value[1]), now_ms), now_ms, ctx)
            return
        control = Control.from_json(value[1])
        answer, outputs = group.on_control(control, now_ms)
        yield from self._finish(group, outputs, now_ms, ctx)
        yield CONTROLS, Row(*control_row(control, answer, to_rfc3339(now_ms)))

    def on_timer(self, timestamp: int, ctx: KeyedBroadcastProcessFunction.OnTimerContext) -> Iterable[Any]:
        group = self._group(ctx.get_current_key(), ctx)
        yield from self._finish(group, group.on_timer(timestamp), timestamp, ctx)

    def answered(self, control: Control, answer: Answer, now_ms: int) -> Iterator[Any]:
        """The row of a request that every subtask got."""
        yield CONTROLS, Row(*control_row(control, answer, to_rfc3339(now_ms)))

    def _group(self, key: str, ctx: KeyedBroadcastProcessFunction.ReadOnlyContext) -> AlertGroup:
        known = AlertKey.from_text(key)
        return AlertGroup.from_state(known, self.load(), self.config(ctx), self._running_since_ms, self.mutes(ctx).of(known.tenant_id))

    def _finish(self, group: AlertGroup, outputs: list[Output], now_ms: int, ctx: Any) -> Iterator[Any]:
        self.save(group.to_state())
        due_ms = group.next_timer()
        if due_ms is not None:
            ctx.timer_service().register_processing_time_timer(due_ms)
        for output in outputs:
            if isinstance(output, AlertRecord):
                yield Row(*alert_row(output, to_rfc3339(now_ms)))
            elif isinstance(output, NotificationRecord):
                yield NOTIFICATIONS, Row(*notification_row(output))
            else:
                yield DECISIONS, Row(*decision_row(output))
