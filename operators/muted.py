"""Silences and sources of inhibition, which reach every subtask by broadcast beside the configuration."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from pyflink.common import Types
from pyflink.datastream import KeyedBroadcastProcessFunction, RuntimeContext
from pyflink.datastream.state import MapStateDescriptor

from operators.broadcast_configuration import BroadcastConfiguration
from sentinel.alerting.control import Answer, Control
from sentinel.alerting.inhibition import InhibitSource, TenantMutes
from sentinel.alerting.muting import Silence
from sentinel.config.runtime import RuntimeConfig

SILENCES = MapStateDescriptor("silences", Types.STRING(), Types.STRING())
SOURCES = MapStateDescriptor("inhibiting", Types.STRING(), Types.STRING())
_CONTROL, _SOURCE = '{"control_id"', '{"source"'
_SWEEP_MS = 60_000
_log = logging.getLogger(__name__)


class MutedFunction(BroadcastConfiguration):
    """A configured function that knows what is silenced and inhibited, tenant by tenant."""

    def open(self, runtime_context: RuntimeContext) -> None:
        super().open(runtime_context)
        self._first = runtime_context.get_index_of_this_subtask() == 0
        self._muted: tuple[RuntimeConfig, TenantMutes] | None = None
        self._swept_ms = 0

    def process_broadcast_element(self, value: object, ctx: KeyedBroadcastProcessFunction.Context) -> Iterable[Any]:
        """Take a configuration, a request to silence, or the report that a source of inhibition fires."""
        record = str(value[0])  # type: ignore[index]
        now_ms = time.time_ns() // 1_000_000
        if record.startswith(_CONTROL):
            yield from self._silence(record, now_ms, ctx)
        elif record.startswith(_SOURCE):
            source = InhibitSource.from_json(record)
            ctx.get_broadcast_state(SOURCES).put(source.name, record)
            self.mutes(ctx).learn(source)
        else:
            self.take_configuration(record, ctx)
        if now_ms - self._swept_ms > _SWEEP_MS:
            self._sweep(now_ms, ctx)

    def mutes(self, ctx: KeyedBroadcastProcessFunction.ReadOnlyContext) -> TenantMutes:
        """What is in force; made anew when the configuration changes."""
        config = self.config(ctx)
        if self._muted is None or self._muted[0] is not config:
            fresh = TenantMutes(config)
            for _, text in ctx.get_broadcast_state(SILENCES).items():
                fresh.silence(*msgspec.json.decode(text, type=tuple[str, Silence]))
            for _, text in ctx.get_broadcast_state(SOURCES).items():
                fresh.learn(InhibitSource.from_json(text))
            self._muted = (config, fresh)
        return self._muted[1]

    def answered(self, control: Control, answer: Answer, now_ms: int) -> Iterator[Any]:
        """Outputs for a request that is answered."""
        return iter(())

    def _silence(self, record: str, now_ms: int, ctx: KeyedBroadcastProcessFunction.Context) -> Iterator[Any]:
        try:
            control = Control.from_json(record)
        except msgspec.ValidationError as error:
            _log.error("a request is not readable (%s)", error)
            return
        silences, mutes = ctx.get_broadcast_state(SILENCES), self.mutes(ctx)
        if control.action == "resolve":
            self._release(control, now_ms, ctx)
            return
        ends = control.action == "expire"
        answer = mutes.expire(control.tenant_id, control.silence_id, now_ms) if ends else mutes.silence_as_asked(control, now_ms)
        if answer.done:
            kept = mutes.find(control.tenant_id, control.silence_id)
            silences.put(control.silence_id, msgspec.json.encode((control.tenant_id, kept)).decode())
        if self._first:
            yield from self.answered(control, answer, now_ms)

    def _release(self, control: Control, now_ms: int, ctx: KeyedBroadcastProcessFunction.Context) -> None:
        """An alert that somebody declares over holds back no others; the answer comes from where the alert lives."""
        sources, mutes = ctx.get_broadcast_state(SOURCES), self.mutes(ctx)
        reported = [InhibitSource.from_json(text) for _, text in sources.items()]
        for source in reported:
            if source.key == control.group_key and control.tenant_id in (source.source, "*"):
                sources.remove(source.name)
                mutes.end(source, now_ms)

    def _sweep(self, now_ms: int, ctx: KeyedBroadcastProcessFunction.Context) -> None:
        self._swept_ms = now_ms
        silences, sources = ctx.get_broadcast_state(SILENCES), ctx.get_broadcast_state(SOURCES)
        ended = [name for name, text in silences.items() if msgspec.json.decode(text, type=tuple[str, Silence])[1].ends_at <= now_ms]
        for name in ended:
            silences.remove(name)
        over = [name for name, text in sources.items() if InhibitSource.from_json(text).ends_at <= now_ms]
        for name in over:
            sources.remove(name)
        if ended or over:
            self.mutes(ctx).forget_ended(now_ms)
