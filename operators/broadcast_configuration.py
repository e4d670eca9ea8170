"""What the keyed operators share: the configuration in force, from broadcast state."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from pyflink.common import Types
from pyflink.datastream import KeyedBroadcastProcessFunction, RuntimeContext
from pyflink.datastream.state import MapStateDescriptor

from operators.bundle_end import end_bundles_at_once
from sentinel.config.runtime import RuntimeConfig

CONFIGURATION = MapStateDescriptor("configuration", Types.STRING(), Types.STRING())
_NEWEST = "newest"
_log = logging.getLogger(__name__)


class BroadcastConfiguration(KeyedBroadcastProcessFunction):  # type: ignore[misc]
    """A keyed function whose configuration arrives by broadcast; it starts with the snapshot of its submission."""

    def __init__(self, snapshot: bytes) -> None:
        self._snapshot = snapshot
        self._config: RuntimeConfig | None = None

    def open(self, runtime_context: RuntimeContext) -> None:
        end_bundles_at_once()

    def process_broadcast_element(self, value: object, ctx: KeyedBroadcastProcessFunction.Context) -> Iterable[Any] | None:
        """Take a published configuration."""
        self.take_configuration(str(value[0]), ctx)  # type: ignore[index]
        return None

    def take_configuration(self, record: str, ctx: KeyedBroadcastProcessFunction.Context) -> None:
        """A broken or older configuration leaves the current in force."""
        try:
            config = RuntimeConfig.from_record(record)
        except (KeyError, ValueError) as error:
            _log.error("a configuration record is not readable (%s); the current version stays in force", error)
            return
        state = ctx.get_broadcast_state(CONFIGURATION)
        if config.version >= self._in_force(state.get(_NEWEST)).version:
            state.put(_NEWEST, record)
            self._config = config

    def config(self, ctx: KeyedBroadcastProcessFunction.ReadOnlyContext) -> RuntimeConfig:
        """The configuration in force."""
        if self._config is None:
            self._config = self._in_force(ctx.get_broadcast_state(CONFIGURATION).get(_NEWEST))
        return self._config

    def _in_force(self, stored: str | None) -> RuntimeConfig:
        submitted = RuntimeConfig.from_record(self._snapshot)
        if stored is None:
            return submitted
        restored = RuntimeConfig.from_record(stored)
        return restored if restored.version >= submitted.version else submitted
