"""Requests and their answers, keyed by part of a tenant: adapter of `sentinel.events.pairing`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pyflink.common import Row, Types
from pyflink.datastream import KeyedBroadcastProcessFunction, RuntimeContext

from operators.broadcast_configuration import BroadcastConfiguration
from operators.journal import JournaledState
from operators.sink_types import row_type
from sentinel.collector import collect_seldom
from sentinel.config.runtime import RuntimeConfig
from sentinel.events.enrichment import Enrichment
from sentinel.events.halves import halves_of
from sentinel.events.pairing import Pairing, Passed, Unpaired
from sentinel.sink_rows import Columns

INPUT_TYPE = Types.ROW([Types.STRING(), Types.STRING()])
"""(part of a tenant, events as text)"""

OUTPUT_COLUMNS: Columns = {
    **dict.fromkeys(("key", "event", "once_key", "dlq", "tenant_id", "application_id", "outcome"), str),
    "event_ms": int,
}
OUTPUT_TYPE = row_type(OUTPUT_COLUMNS)
"""An answer (key, event, once_key), a dead letter (dlq), or a request without an answer (tenant_id, application_id, outcome)."""


class PairRequests(BroadcastConfiguration):
    """In: rows of `INPUT_TYPE`. Out: rows of `OUTPUT_TYPE`."""

    def __init__(self, snapshot: bytes) -> None:
        super().__init__(snapshot)
        # A part lives as long as this instance, its state is written at each call; a restore makes new instances.
        self._parts: dict[str, Pairing] = {}
        self._timers: dict[str, int] = {}
        self._enrichment: tuple[RuntimeConfig, Enrichment] | None = None

    def open(self, runtime_context: RuntimeContext) -> None:
        super().open(runtime_context)
        collect_seldom()
        self._journal = JournaledState(runtime_context, "pairing")

    def process_element(self, value: Row, ctx: KeyedBroadcastProcessFunction.ReadOnlyContext) -> Iterable[Any]:
        key, text = value
        part = self._part(key)
        config = self.config(ctx)
        return self._finish(key, part, part.on_halves(halves_of(text), config.pairing, self._enriched(config)), ctx)

    def on_timer(self, timestamp: int, ctx: KeyedBroadcastProcessFunction.OnTimerContext) -> Iterable[Any]:
        key = ctx.get_current_key()
        self._timers.pop(key, None)
        part = self._part(key)
        return self._finish(key, part, part.on_time(timestamp), ctx)

    def _part(self, key: str) -> Pairing:
        part = self._parts.get(key)
        if part is None:
            part = self._parts[key] = Pairing.from_state(*self._journal.read())
        return part

    def _enriched(self, config: RuntimeConfig) -> Enrichment:
        if self._enrichment is None or self._enrichment[0] is not config:
            self._enrichment = config, Enrichment.of(config)
        return self._enrichment[1]

    def _finish(
        self,
        key: str,
        part: Pairing,
        results: tuple[list[Passed], list[Unpaired]],
        ctx: KeyedBroadcastProcessFunction.ReadOnlyContext,
    ) -> Iterable[Any]:
        if self._journal.append(key, part.changes()):
            self._journal.replace(key, part.to_state())
        due_ms = part.next_timer()
        if due_ms is not None and due_ms < self._timers.get(key, due_ms + 1):
            ctx.timer_service().register_event_time_timer(due_ms)
            self._timers[key] = due_ms
        passed, unpaired = results
        for one in passed:
            yield Row(one.key, one.event, one.once_key, one.dlq, None, None, None, one.event_ms)
        for request in unpaired:
            yield Row(None, None, None, None, request.tenant_id, request.application_id, request.outcome, request.event_ms)
