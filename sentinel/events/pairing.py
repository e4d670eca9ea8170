"""A request and its answer, which arrived as two events with one correlation id: the answer gets what only the request knew.

No event is held back. A request goes on at once and what it knew is kept until its answer or until event time is `timeout_s` past it; then it counts as
unanswered. The one exception is an answer that cannot go on by itself, because it does not say how long it took: it waits for its request, and is a
dead letter without one.

The state is one exchange a correlation id. A call names the exchanges that it changed, so that an operator writes those and not all
(`operators.journal`). Times are epoch milliseconds of event time.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

import msgspec
import orjson

from sentinel.detection.state import check_version
from sentinel.events.enrichment import Enrichment
from sentinel.events.model import Data, Metadata
from sentinel.events.pairing_settings import PairingSettings

STATE_VERSION = 1
SHARDS = 8
"""Parts of a tenant. A part is one key of the operator: one tenant can fill only its own."""
MOST_OPEN = 20_000
"""Exchanges that are kept of a part; a request beyond goes on unpaired, and is counted."""
DISORDER_MS = 10_000
"""How much sooner than its request an answer may come, on another partition, or how much later a copy of the request, without it looking unanswered."""

Outcome = Literal["unanswered", "not_kept"]


class Half(msgspec.Struct, array_like=True, gc=False):
    """One event of an exchange on its way to the operator. `event_ms` is the time of its record; `dlq` the dead letter that it is unless paired."""

    pair_key: str
    event_ms: int
    once_key: str | None
    dlq: str | None
    event: str


class Open(msgspec.Struct, array_like=True, gc=False):
    """What is kept of a request: when it was made, and what its answer may lack."""

    record_ms: int
    asked_ms: int
    tenant_id: str
    application_id: str
    data: dict[str, Any]
    metadata: dict[str, Any]


class Exchange(msgspec.Struct, array_like=True, gc=False):
    """What is known of one correlation id."""

    expires_ms: int
    request: Open | None = None
    answered_ms: int | None = None
    waiting: Half | None = None


class Passed(NamedTuple):
    """An answer that goes on, or its dead letter."""

    key: str
    event: str | None
    event_ms: int
    once_key: str | None
    dlq: str | None


class Unpaired(NamedTuple):
    """A request that got no answer in time, or that was not kept."""

    tenant_id: str
    application_id: str
    event_ms: int
    outcome: Outcome


class _Data(msgspec.Struct, gc=False):
    model: str | None = None
    model_sent: str | None = None
    prompt: str | None = None
    prompt_tokens: int | None = None


class _Event(msgspec.Struct, gc=False):
    timestamp: datetime
    event_type: str
    application_id: str
    data: _Data
    tenant_id: str = "default"
    metadata: Metadata | None = None


class Pairing:
    """The exchanges of one part of a tenant."""

    def __init__(self, exchanges: dict[str, Exchange] | None = None) -> None:
        self._exchanges = {} if exchanges is None else exchanges
        self._changed: set[str] = set()
        self._due_ms = min((exchange.expires_ms for exchange in self._exchanges.values()), default=None)

    def on_halves(self, halves: Sequence[Half], settings: PairingSettings, enrichment: Enrichment) -> tuple[list[Passed], list[Unpaired]]:
        """Events in the order in which they came."""
        passed: list[Passed] = []
        unpaired: list[Unpaired] = []
        for half in halves:
            event = _decode(half.event)
            if event.event_type == "llm.request":
                self._on_request(half, event, settings, enrichment, passed, unpaired)
            else:
                self._on_answer(half, event, settings, enrichment, passed)
        return passed, unpaired

    def on_time(self, watermark_ms: int) -> tuple[list[Passed], list[Unpaired]]:
        """Event time has come to the watermark."""
        passed: list[Passed] = []
        unpaired: list[Unpaired] = []
        for key in [key for key, exchange in self._exchanges.items() if exchange.expires_ms <= watermark_ms]:
            exchange = self._exchanges.pop(key)
            self._changed.add(key)
            if exchange.request is not None:
                unpaired.append(_unpaired(exchange.request, "unanswered"))
            if exchange.waiting is not None:
                passed.append(Passed("", None, exchange.waiting.event_ms, None, exchange.waiting.dlq))
        self._due_ms = min((exchange.expires_ms for exchange in self._exchanges.values()), default=None)
        return passed, unpaired

    def next_timer(self) -> int | None:
        """The watermark at which `on_time` is wanted next, in whole seconds. None: never."""
        return None if self._due_ms is None else -(-self._due_ms // 1000) * 1000

    def changes(self) -> bytes:
        """What changed since the last call (msgpack); None where an exchange is over."""
        changed = {key: self._exchanges.get(key) for key in self._changed}
        self._changed.clear()
        return _encoder.encode(changed)

    def to_state(self) -> bytes:
        """Versioned (msgpack)."""
        return _encoder.encode([STATE_VERSION, self._exchanges])

    @classmethod
    def from_state(cls, state: bytes | None, journal: Sequence[bytes] = ()) -> Pairing:
        """The exchanges at `to_state`, and what changed after it.

        Raises:
            StateError: when the state is of another version.
        """
        exchanges: dict[str, Exchange] = {}
        if state is not None:
            (stored,) = check_version(msgspec.msgpack.decode(state), STATE_VERSION, "pairing")
            exchanges = msgspec.convert(stored, dict[str, Exchange])
        for entry in journal:
            for key, exchange in _changes_decoder.decode(entry).items():
                if exchange is None:
                    exchanges.pop(key, None)
                else:
                    exchanges[key] = exchange
        return cls(exchanges)

    def _on_request(
        self, half: Half, event: _Event, settings: PairingSettings, enrichment: Enrichment, passed: list[Passed], unpaired: list[Unpaired]
    ) -> None:
        known = self._exchanges.get(half.pair_key)
        request = _opened(half, event, settings.copy_prompt)
        if known is not None and known.waiting is not None:
            answer = _decode(known.waiting.event)
            passed.append(_complete(known.waiting, answer, request, enrichment))
            self._keep(half.pair_key, _answered(half.event_ms, answer))
        elif known is not None and known.answered_ms is not None and request.asked_ms <= known.answered_ms:
            return
        elif known is None and len(self._exchanges) >= MOST_OPEN:
            unpaired.append(_unpaired(request, "not_kept"))
        else:
            # A correlation id that is used again is another exchange: a call that was repeated.
            self._keep(half.pair_key, Exchange(half.event_ms + round(settings.timeout_s * 1000), request))

    def _on_answer(self, half: Half, event: _Event, settings: PairingSettings, enrichment: Enrichment, passed: list[Passed]) -> None:
        known = self._exchanges.get(half.pair_key)
        answered = _answered(half.event_ms, event)
        if known is not None and known.request is not None:
            passed.append(_complete(half, event, known.request, enrichment))
            self._keep(half.pair_key, answered)
        elif half.dlq is None:
            passed.append(_as_it_is(half, event))
            if known is None and len(self._exchanges) < MOST_OPEN:
                self._keep(half.pair_key, answered)
        elif (known is None or known.waiting is None) and len(self._exchanges) < MOST_OPEN:
            self._keep(half.pair_key, Exchange(half.event_ms + round(settings.timeout_s * 1000), waiting=half))
        else:
            passed.append(Passed("", None, half.event_ms, None, half.dlq))

    def _keep(self, key: str, exchange: Exchange) -> None:
        self._exchanges[key] = exchange
        self._changed.add(key)
        if self._due_ms is None or exchange.expires_ms < self._due_ms:
            self._due_ms = exchange.expires_ms


def _answered(event_ms: int, answer: _Event) -> Exchange:
    # Kept to the end of a stretch of event time: a timer of its own for every second would cost as much as the pairing.
    return Exchange(-(-(event_ms + DISORDER_MS) // DISORDER_MS) * DISORDER_MS, answered_ms=_ms(answer.timestamp))


def _opened(half: Half, event: _Event, copy_prompt: bool) -> Open:
    data = {name: item for name, item in msgspec.structs.asdict(event.data).items() if item is not None}
    if not copy_prompt:
        data.pop("prompt", None)
    metadata = {} if event.metadata is None else {k: v for k, v in msgspec.structs.asdict(event.metadata).items() if v is not None}
    return Open(half.event_ms, _ms(event.timestamp), event.tenant_id, event.application_id, data, metadata)


def _complete(half: Half, event: _Event, request: Open, enrichment: Enrichment) -> Passed:
    """The answer with what it lacks and the request knew; `data.from_request` names it."""
    document = orjson.loads(half.event)
    data = document["data"]
    metadata = document.get("metadata") or {}
    given = [name for name in request.data if data.get(name) is None and (name != "model_sent" or data.get("model") is None)]
    data.update({name: request.data[name] for name in given})
    own = [name for name, item in request.metadata.items() if metadata.get(name) is None and item]
    if own:
        document["metadata"] = metadata | {name: request.metadata[name] for name in own}
    if data.get("latency_ms") is None and (latency_ms := _ms(event.timestamp) - request.asked_ms) >= 0:
        data["latency_ms"] = float(latency_ms)
        given.append("latency_ms")
    if half.dlq is not None and data.get("latency_ms") is None:
        # It came before its request, by the clocks of those who sent them: no latency can be told.
        return Passed("", None, half.event_ms, None, half.dlq)
    if not given and not own:
        return _as_it_is(half, event)
    if given and data.get("status") == "success" and not data.get("cost"):
        _price(data, enrichment)
    data["from_request"] = [*given, *own]
    return Passed(_key(event), orjson.dumps(document).decode(), half.event_ms, half.once_key, None)


def _price(data: dict[str, Any], enrichment: Enrichment) -> None:
    """Once more: the model or the tokens of the prompt were not known before."""
    if data.get("cost_source") in (None, "unknown"):
        for name in ("cost_source", "cost_reason"):
            data.pop(name, None)
        data.update({name: item for name, item in enrichment.cost_changes(msgspec.convert(data, Data)).items() if item is not None})


def _as_it_is(half: Half, event: _Event) -> Passed:
    return Passed(_key(event), half.event, half.event_ms, half.once_key, None)


def _key(event: _Event) -> str:
    return f"{event.tenant_id}|{event.application_id}"


def _ms(time: datetime) -> int:
    return round(time.timestamp() * 1000)


def _unpaired(request: Open, outcome: Outcome) -> Unpaired:
    return Unpaired(request.tenant_id, request.application_id, request.record_ms, outcome)


_encoder = msgspec.msgpack.Encoder()
_changes_decoder = msgspec.msgpack.Decoder(dict[str, Exchange | None])
_event_decoder = msgspec.json.Decoder(_Event)


def _decode(event: str) -> _Event:
    return _event_decoder.decode(event)
