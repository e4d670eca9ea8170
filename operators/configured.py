"""A keyed function with the configuration in force, and one state of bytes a key."""

from __future__ import annotations

from pyflink.common import Types
from pyflink.datastream import RuntimeContext
from pyflink.datastream.state import ValueState, ValueStateDescriptor

from operators.broadcast_configuration import BroadcastConfiguration


class ConfiguredFunction(BroadcastConfiguration):
    """One state of bytes a key, read and written whole."""

    def __init__(self, snapshot: bytes, state_name: str) -> None:
        super().__init__(snapshot)
        self._state_name = state_name

    def open(self, runtime_context: RuntimeContext) -> None:
        self._state: ValueState = runtime_context.get_state(ValueStateDescriptor(self._state_name, Types.PRIMITIVE_ARRAY(Types.BYTE())))

    def load(self) -> bytes | None:
        """The bytes kept for the current key."""
        stored = self._state.value()
        return None if stored is None else bytes(stored)

    def save(self, state: bytes) -> None:
        """Keep bytes for the current key; empty bytes forget the key."""
        if state:
            self._state.update(state)
        else:
            self._state.clear()
