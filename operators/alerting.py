"""The life cycle of alerts, keyed by shard; waits run on processing time, since idle inputs must not stop them.

A shard's alerts live as long as this instance, and each alert that a call changed is written once within the call; a restore makes new instances.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

from pyflink.common import Row, Types
from pyflink.datastream import KeyedBroadcastProcessFunction, OutputTag, RuntimeContext
from pyflink.datastream.state import MapState, MapStateDescriptor

from operators.muted import MutedFunction
from operators.sink_types import row_type
from sentinel.alerting.alert_shard import AlertShard
from sentinel.alerting.blocks import entries_of, refuse_strays
from sentinel.alerting.control import Answer, Control
from sentinel.alerting.records import AlertRecord, NotificationRecord, Output
from sentinel.collector import collect_seldom
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
"""(shard, a block of anomalies (`sentinel.alerting.blocks`) or the JSON of a request)"""
OUTPUT_TYPE = row_type(ALERT_COLUMNS)
NOTIFICATIONS = OutputTag("notifications", row_type(NOTIFICATION_COLUMNS))
DECISIONS = OutputTag("decisions", row_type(DECISION_COLUMNS))
CONTROLS = OutputTag("controls", row_type(CONTROL_COLUMNS))
_CONTROL = '{"control_id"'
"""What the JSON of a request begins with; a block begins otherwise."""
TIMER_GRID_MS = 50
"""A shard's timers fall on a grid, so that what is due at nearly the same time shares one. Records carry the time for which they were due."""
LOOK_AROUND_MS = 5_000
"""How long a shard that nothing reaches may not have seen new silences, sources of inhibition and configurations. They count from the next tick of
an alert's groups on, and group_interval is longer as a rule."""


class Alerting(MutedFunction):
    """In: rows of `INPUT_TYPE`. Out: rows of `ALERT_COLUMNS`; beside them the other three."""

    def open(self, runtime_context: RuntimeContext) -> None:
        super().open(runtime_context)
        collect_seldom()
        descriptor = MapStateDescriptor("alerts", Types.STRING(), Types.PRIMITIVE_ARRAY(Types.BYTE()))
        self._states: MapState = runtime_context.get_map_state(descriptor)
        # Before it nobody watched: an outage of ours must not resolve alerts.
        self._running_since_ms = time.time_ns() // 1_000_000
        self._shards: dict[str, AlertShard] = {}
        self._timers: dict[str, int] = {}

    def process_element(self, value: Row, ctx: KeyedBroadcastProcessFunction.ReadOnlyContext) -> Iterable[Any]:
        name, record = value
        now_ms = ctx.timer_service().current_processing_time()
        shard = self._shard(name, now_ms, ctx)
        if not record.startswith(_CONTROL):
            outputs = [output for key, anomaly in entries_of(record) for output in shard.on_anomaly(key, anomaly, now_ms)]
            yield from self._finish(name, shard, outputs, now_ms, ctx)
            return
        control = Control.from_json(record)
        answer, outputs = shard.on_control(control.group_key, control, now_ms)
        yield from self._finish(name, shard, outputs, now_ms, ctx)
        yield CONTROLS, Row(*control_row(control, answer, to_rfc3339(now_ms)))

    def on_timer(self, timestamp: int, ctx: KeyedBroadcastProcessFunction.OnTimerContext) -> Iterable[Any]:
        name = ctx.get_current_key()
        if self._timers.get(name, timestamp) != timestamp:
            # An earlier one has taken its place.
            return
        self._timers.pop(name, None)
        now_ms = max(timestamp, ctx.timer_service().current_processing_time())
        shard = self._shard(name, now_ms, ctx)
        yield from self._finish(name, shard, shard.on_time(now_ms), now_ms, ctx)

    def answered(self, control: Control, answer: Answer, now_ms: int) -> Iterator[Any]:
        """The row of a request that every subtask got."""
        yield CONTROLS, Row(*control_row(control, answer, to_rfc3339(now_ms)))

    def _shard(self, name: str, now_ms: int, ctx: KeyedBroadcastProcessFunction.ReadOnlyContext) -> AlertShard:
        config, mutes = self.config(ctx), self.mutes(ctx)
        shard = self._shards.get(name)
        if shard is None:
            stored = [(str(key), bytes(state)) for key, state in self._states.items()]
            refuse_strays(name, (key for key, _ in stored))
            shard = self._shards[name] = AlertShard(stored, config, mutes, self._running_since_ms, now_ms)
        else:
            shard.look_around(config, mutes, now_ms)
        return shard

    def _finish(self, name: str, shard: AlertShard, outputs: list[Output], now_ms: int, ctx: Any) -> Iterator[Any]:
        for key, state in shard.written().items():
            if state:
                self._states.put(key, state)
            else:
                self._states.remove(key)
        if len(shard):
            due_ms = min(now_ms + LOOK_AROUND_MS, shard.next_timer() or now_ms + LOOK_AROUND_MS)
            due_ms = -(-due_ms // TIMER_GRID_MS) * TIMER_GRID_MS
            if due_ms < self._timers.get(name, due_ms + 1):
                ctx.timer_service().register_processing_time_timer(due_ms)
                self._timers[name] = due_ms
        for output in outputs:
            if isinstance(output, AlertRecord):
                yield Row(*alert_row(output, to_rfc3339(now_ms)))
            elif isinstance(output, NotificationRecord):
                yield NOTIFICATIONS, Row(*notification_row(output))
            else:
                yield DECISIONS, Row(*decision_row(output))
