"""Which events are passed on: by type and metadata, and by a sample of traces that is the same wherever it is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import NamedTuple

from sentinel.events.model import Event


class Selection(NamedTuple):
    """Filters. An event is wanted when its type is included (or nothing is), and neither its type nor one of its metadata is excluded."""

    included_types: frozenset[str] = frozenset()
    excluded_types: frozenset[str] = frozenset()
    excluded_metadata: Mapping[str, str] = {}

    def wants(self, event: Event) -> bool:
        """Whether the event passes."""
        kind = event.event_type
        if kind in self.excluded_types or (self.included_types and kind not in self.included_types):
            return False
        return not any(_metadata(event, key) == value for key, value in self.excluded_metadata.items())


class TraceSample(NamedTuple):
    """A share of all traces.

    The id of the trace decides (else the correlation id, else the event's), hashed to 64 bits: so all events of a trace share its fate in every
    process, ids that are no random numbers are drawn as well as others, and what a smaller ratio keeps is kept by a larger one, too.
    """

    ratio: float = 1.0
    always: frozenset[str] = frozenset()

    def keeps(self, event: Event) -> bool:
        """Whether the event is in the sample."""
        if self.ratio >= 1.0 or event.event_type in self.always:
            return True
        identity = event.data.trace_id or event.correlation_id or str(event.event_id)
        drawn = int.from_bytes(blake2b(identity.encode("utf-8", "surrogatepass"), digest_size=8).digest())
        return drawn < self.ratio * 2**64


def _metadata(event: Event, key: str) -> str | None:
    metadata = event.metadata
    if metadata is None:
        return None
    if key in ("user_id", "session_id", "environment"):
        own = getattr(metadata, key)
        return None if own is None else str(own)
    value = (metadata.tags or {}).get(key)
    return None if value is None else str(value)
