"""The panes of a shard, second by second: detectors, one-minute rollups, or both."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pyflink.common import Row, Types
from pyflink.datastream import KeyedBroadcastProcessFunction, OutputTag, RuntimeContext

from operators.broadcast_configuration import BroadcastConfiguration
from operators.journal import JournaledState
from operators.priority import stand_behind_single_events
from operators.sink_types import row_type
from sentinel import pane_blocks
from sentinel.anomaly import SHADOW
from sentinel.collector import collect_seldom
from sentinel.config.runtime import RuntimeConfig
from sentinel.minute_rollups import STORED_COLUMNS, Minute, minutes_of
from sentinel.panes import turn_ms
from sentinel.shard import Results, Shard, Step
from sentinel.sink_rows import Columns
from sentinel.timestamps import to_rfc3339

INPUT_TYPE = Types.ROW([Types.INT(), Types.LONG(), Types.BOOLEAN(), Types.STRING()])
"""(shard, end in epoch ms, late, blocks as text)"""

OUTPUT_TYPE = Types.ROW_NAMED(["application", "record", "shadow"], [Types.STRING(), Types.STRING(), Types.BOOLEAN()])
"""(tenant|application, anomaly JSON, whether a model in shadow mode made it)"""

KEYS = ("tenant_id", "application_id", "model")
MINUTE_COLUMNS: Columns = {**dict.fromkeys((*KEYS, "minute"), str), **dict.fromkeys(STORED_COLUMNS, int)}
MINUTES = OutputTag("minutes", row_type(MINUTE_COLUMNS))
"""Closed minutes of a key."""
LATE = OutputTag("late", row_type(MINUTE_COLUMNS))
"""What late events add to a minute."""


class ShardPanes(BroadcastConfiguration):
    """In: rows of `INPUT_TYPE`, keyed by shard. Out: rows of `OUTPUT_TYPE`; beside them `MINUTES` and `LATE`."""

    def __init__(self, snapshot: bytes, detect: bool, roll_up: bool, max_keys: int) -> None:
        super().__init__(snapshot)
        self._detect, self._roll_up, self._max_keys = detect, roll_up, max_keys
        # A shard lives as long as this instance, its state is written at each call; a restore makes new instances.
        self._shards: dict[int, Shard] = {}
        self._timers: dict[int, int] = {}
        self._configs: dict[int, RuntimeConfig | None] = {}

    def open(self, runtime_context: RuntimeContext) -> None:
        super().open(runtime_context)
        collect_seldom()
        stand_behind_single_events()
        self._journal = JournaledState(runtime_context, "shard")

    def process_element(self, value: Row, ctx: KeyedBroadcastProcessFunction.ReadOnlyContext) -> Iterable[Any]:
        number, end_ms, late, texts = value
        block = pane_blocks.from_texts(texts)
        if late:
            if self._roll_up:
                yield from ((LATE, _row(minute)) for minute in minutes_of(block))
            return
        shard = self._shard(number, ctx)
        results = shard.on_second(block, end_ms)
        yield from self._finish(number, shard, Step(end_ms, pane_blocks.to_bytes(block)), results, ctx)

    def on_timer(self, timestamp: int, ctx: KeyedBroadcastProcessFunction.OnTimerContext) -> Iterable[Any]:
        number = ctx.get_current_key()
        shard = self._shard(number, ctx)
        self._timers.pop(number, None)
        return self._finish(number, shard, Step(timestamp, b""), shard.on_time(timestamp), ctx)

    def _shard(self, number: int, ctx: KeyedBroadcastProcessFunction.ReadOnlyContext) -> Shard:
        config = self.config(ctx) if self._detect else None
        shard = self._shards.get(number)
        if shard is None:
            shard = self._shards[number] = self._restored(number, config)
            self._configs[number] = config
        elif config is not None and config is not self._configs[number]:
            shard.apply_config(config)
            self._configs[number] = config
            # The journal is read back under one configuration.
            self._journal.replace(number, shard.to_state())
        return shard

    def _restored(self, number: int, config: RuntimeConfig | None) -> Shard:
        snapshot, entries = self._journal.read()
        about = (config, self._roll_up, turn_ms(number), self._max_keys)
        shard = Shard(*about) if snapshot is None else Shard.from_state(snapshot, *about)
        shard.replay(entries)
        return shard

    def _finish(
        self, number: int, shard: Shard, step: Step, results: Results, ctx: KeyedBroadcastProcessFunction.ReadOnlyContext
    ) -> Iterable[Any]:
        if self._journal.append(number, step.encoded()):
            self._journal.replace(number, shard.to_state())
        due_ms = shard.next_timer()
        if due_ms is not None and due_ms < self._timers.get(number, due_ms + 1):
            ctx.timer_service().register_event_time_timer(due_ms)
            self._timers[number] = due_ms
        for minute in results.minutes:
            yield MINUTES, _row(minute)
        for anomaly in results.anomalies:
            yield Row(f"{anomaly.tenant_id}|{anomaly.application_id}", anomaly.to_json().decode(), anomaly.status == SHADOW)


def _row(minute: Minute) -> Row:
    text = to_rfc3339(minute.start_ms)
    return Row(minute.tenant_id, minute.application_id, minute.model, f"{text[:10]} {text[11:16]}:00+00", *minute.numbers)
