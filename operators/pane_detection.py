"""Statistical and behavioural detectors on closed panes, keyed by shard."""

from __future__ import annotations

from collections.abc import Iterable

from pyflink.common import Row, Types
from pyflink.datastream import KeyedBroadcastProcessFunction

from operators.configured import ConfiguredFunction
from sentinel.anomaly import SHADOW, Anomaly
from sentinel.detection.engine import ShardEngine
from sentinel.pane_lines import parse_panes

OUTPUT_TYPE = Types.ROW_NAMED(["application", "record", "shadow"], [Types.STRING(), Types.STRING(), Types.BOOLEAN()])
"""(tenant|application, anomaly JSON, whether a model in shadow mode made it)"""


class PaneDetection(ConfiguredFunction):
    """In: rows (shard, end in epoch ms, lines). Out: rows of `OUTPUT_TYPE`."""

    def __init__(self, snapshot: bytes) -> None:
        super().__init__(snapshot, "pane-detection")
        # The engine of a shard lives as long as this instance and is written through at each call: a restore makes new instances.
        self._engines: dict[int, ShardEngine] = {}

    def process_element(self, value: Row, ctx: KeyedBroadcastProcessFunction.ReadOnlyContext) -> Iterable[Row]:
        shard, end_ms, lines = value[0], value[1], value[2]
        engine = self._engine(shard, ctx)
        return self._finish(engine, engine.on_panes(parse_panes(lines), end_ms), ctx)

    def on_timer(self, timestamp: int, ctx: KeyedBroadcastProcessFunction.OnTimerContext) -> Iterable[Row]:
        engine = self._engine(ctx.get_current_key(), ctx)
        return self._finish(engine, engine.on_time(timestamp), ctx)

    def _engine(self, shard: int, ctx: KeyedBroadcastProcessFunction.ReadOnlyContext) -> ShardEngine:
        config = self.config(ctx)
        engine = self._engines.get(shard)
        if engine is None:
            engine = self._engines[shard] = ShardEngine.from_state(self.load(), config)
        engine.apply_config(config)
        return engine

    def _finish(self, engine: ShardEngine, anomalies: list[Anomaly], ctx: KeyedBroadcastProcessFunction.ReadOnlyContext) -> Iterable[Row]:
        self.save(engine.to_state())
        due_ms = engine.next_timer()
        if due_ms is not None:
            ctx.timer_service().register_event_time_timer(due_ms)
        return [
            Row(f"{anomaly.tenant_id}|{anomaly.application_id}", anomaly.to_json().decode(), anomaly.status == SHADOW) for anomaly in anomalies
        ]
