"""Keyed state as a snapshot and a journal of what came after it.

Writing a shard whole at every call costs more than all its detectors. PyFlink has no hook that runs before a checkpoint, so what a call changed must be
written within the call; a shard is a function of its input, so the input does. A new snapshot is due when the journal has become longer than
`JOURNAL_TO_SNAPSHOT` snapshots (large ones: half a snapshot): reading it back stays quick, and the cost of snapshots is spread over many calls.
"""

from __future__ import annotations

from pyflink.common import Types
from pyflink.datastream import RuntimeContext
from pyflink.datastream.state import ListState, ListStateDescriptor, ValueState, ValueStateDescriptor

JOURNAL_TO_SNAPSHOT = 3
_SMALL = 16_384
"""Bytes of a journal for which no snapshot is made."""
_LARGE = 1_048_576
"""Bytes of a journal that are kept beside a snapshot of whatever size: beyond it the journal must stay below half of the snapshot."""


class JournaledState:
    """The state of the current key. Every method is to be called with that key in force."""

    def __init__(self, runtime_context: RuntimeContext, name: str) -> None:
        kind = Types.PRIMITIVE_ARRAY(Types.BYTE())
        self._snapshot: ValueState = runtime_context.get_state(ValueStateDescriptor(name, kind))
        self._journal: ListState = runtime_context.get_list_state(ListStateDescriptor(f"{name}-journal", kind))
        # Bytes of the journal, and of the snapshot, by key; what this instance does not know yet counts as much.
        self._sizes: dict[object, list[int]] = {}

    def read(self) -> tuple[bytes | None, list[bytes]]:
        """The snapshot and the entries after it."""
        stored = self._snapshot.value()
        return (None if stored is None else bytes(stored)), [bytes(entry) for entry in self._journal.get() or []]

    def append(self, key: object, entry: bytes) -> bool:
        """Write an entry; whether a snapshot is due."""
        self._journal.add(entry)
        sizes = self._sizes.setdefault(key, [_SMALL, 0])
        sizes[0] += len(entry)
        return sizes[0] > _SMALL + min(JOURNAL_TO_SNAPSHOT * sizes[1], max(_LARGE, sizes[1] // 2))

    def replace(self, key: object, snapshot: bytes) -> None:
        """Write a snapshot, which makes the journal superfluous."""
        self._snapshot.update(snapshot)
        self._journal.clear()
        self._sizes[key] = [0, len(snapshot)]
