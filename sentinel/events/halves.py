"""What the door hands to pairing: the requests and answers of a batch, by part of a tenant."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b

import msgspec
import orjson

from sentinel.events.decode import decode_batch
from sentinel.events.model import Event
from sentinel.events.normalisation import Normaliser
from sentinel.events.pairing import SHARDS, Half
from sentinel.events.pairing_settings import PairingSettings
from sentinel.events.rejects import Reject

REQUEST = "llm.request"
_PAIRED = frozenset((REQUEST, "llm.response", "llm.error"))


def is_half(event: Event, tenant_id: str, settings: PairingSettings) -> bool:
    """Whether the event is half of an exchange that the tenant wants paired."""
    return event.correlation_id is not None and event.event_type in _PAIRED and settings.concerns(tenant_id)


class Halves:
    """Collects one batch."""

    def __init__(self, settings: PairingSettings) -> None:
        self._settings = settings
        self._anybody = settings.anybody
        self._parts: dict[str, tuple[int, list[Half]]] = {}

    def concern(self, event: Event) -> bool:
        """Whether the event is half of an exchange that its tenant wants paired."""
        return self._anybody and is_half(event, event.tenant_id, self._settings)

    def add(self, row: int, event: Event, text: str, event_ms: int, once_key: str | None, dlq: str | None = None) -> None:
        """An event that `concern` named, as it goes on."""
        # A digest: correlation ids may be long, and hold personal data.
        key = blake2b((event.correlation_id or "").encode(), digest_size=12).hexdigest()
        part = f"{event.tenant_id}|{int(key[:2], 16) % SHARDS}"
        self._parts.setdefault(part, (row, []))[1].append(Half(key, event_ms, once_key, dlq, text))

    def texts(self) -> Iterator[tuple[int, str, str]]:
        """(row of the first event, part, its events as text)"""
        for part, (row, halves) in self._parts.items():
            yield row, part, msgspec.json.encode(halves).decode()


_halves_decoder = msgspec.json.Decoder(list[Half])


def halves_of(text: str) -> list[Half]:
    """The events of one of `Halves.texts`."""
    return _halves_decoder.decode(text)


def without_latency(value: bytes | None, reject: Reject, time_ms: int, normaliser: Normaliser) -> tuple[bytes, Event] | None:
    """A refused answer that lacks nothing but its latency, which its request may tell: canonical with a latency of 0, and decoded."""
    if value is None or reject.path != "$.data.latency_ms" or reject.found != "nothing":
        return None
    document = orjson.loads(value)
    document["data"]["latency_ms"] = 0
    known = orjson.dumps(document)
    decoded = decode_batch([known], [time_ms], normaliser=normaliser)
    return (decoded.rewritten.get(0, known), decoded.events[0]) if decoded.events else None


def strip_latency(value: bytes) -> str:
    """Without the latency that `without_latency` put there."""
    document = orjson.loads(value)
    del document["data"]["latency_ms"]
    return orjson.dumps(document).decode()
