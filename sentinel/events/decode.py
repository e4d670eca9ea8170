"""Decode and validate a batch of raw records: the one decode of the per-event path.

The loop below runs for every event of the system, so it holds only what must be done one event at a time; everything numeric happens afterwards on
whole columns (`sentinel.events.columns`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, cast

import msgspec

from sentinel.events.model import MAX_EVENT_BYTES, PULSE, REQUIRED, RESPONSE_STATUSES, Event
from sentinel.events.normalisation import DEFAULT_TENANT, Normaliser
from sentinel.events.rejects import RefusedEventError, Reject, reject_from_error
from sentinel.timestamps import to_rfc3339

OLDEST = timedelta(days=7)
NEWEST = timedelta(minutes=5)
"""An event's own time must lie in [now - 7 d, now + 5 min]: a clock that is off by years would open panes that never close."""

CHUNK = 250
"""Events to decode at a time: they take some 2.5 KB each, and those of a chunk should stay in a core's own cache until their columns are made."""

_MAX_ID_LENGTH = 256


class Decoded(NamedTuple):
    """The good events of a batch with their row numbers, and the bad ones."""

    rows: list[int]
    events: list[Event]
    rejects: list[tuple[int, Reject]]
    rewritten: dict[int, bytes]
    """Good events that were brought into the canonical form, by row."""


def decode_batch(
    values: Sequence[bytes | None], times_ms: Sequence[int], now: datetime | None = None, normaliser: Normaliser | None = None
) -> Decoded:
    """Decode every record; a bad one becomes a reject and never an exception; pulses are neither. `times_ms` are the records' Kafka timestamps.

    With a normaliser an event that would be refused is looked at a second time.
    """
    now = now or datetime.now(UTC)
    oldest, newest = now - OLDEST, now + NEWEST
    rows = list(range(len(values))) if PULSE not in values else [row for row, value in enumerate(values) if value != PULSE]
    flawless = _decode_flawless(values, times_ms, rows, oldest, newest, normaliser)
    if flawless is not None:
        return Decoded(rows, flawless, [], {})
    return _decode_one_by_one(values, times_ms, now, normaliser)


def _decode_flawless(
    values: Sequence[bytes | None],
    times_ms: Sequence[int],
    rows: list[int],
    oldest: datetime,
    newest: datetime,
    normaliser: Normaliser | None,
) -> list[Event] | None:
    """The events of `rows`, or None where a single one needs a closer look. Nearly every batch is flawless: what can be asked of it at once, is."""
    if not rows:
        return []
    # A tombstone has no length and no text: it raises below.
    chosen = cast("Sequence[bytes]", values if len(rows) == len(values) else [values[row] for row in rows])
    if min(times_ms) < oldest.timestamp() * 1000 or max(times_ms) > newest.timestamp() * 1000:
        return None
    try:
        if max(map(len, chosen)) > MAX_EVENT_BYTES:
            return None
        events: list[Event] = list(map(_decoder.decode, chosen))
        times = [event.timestamp for event in events]
        if min(times) < oldest or max(times) > newest:
            return None
        of_nobody = False
        for event in events:
            data = event.data
            kind = event.event_type
            if kind == "llm.response":
                if data.latency_ms is None or data.status not in RESPONSE_STATUSES:
                    return None
            elif kind != "llm.request" or data.model is None or data.prompt is None:
                _check_required(event)
            tenant = event.tenant_id
            if (tenant, event.application_id, data.model) not in _known_keys:
                _check_key(event)
            if tenant == DEFAULT_TENANT:
                of_nobody = True
        if of_nobody and normaliser is not None and any(map(normaliser.lacks_tenant, events, chosen)):
            return None
    except Exception:
        # Which one it was, and why, is for the closer look to say.
        return None
    return events


def _decode_one_by_one(values: Sequence[bytes | None], times_ms: Sequence[int], now: datetime, normaliser: Normaliser | None) -> Decoded:
    oldest, newest = now - OLDEST, now + NEWEST
    oldest_ms, newest_ms = oldest.timestamp() * 1000, newest.timestamp() * 1000
    decode: Callable[[bytes], Event] = _decoder.decode
    rows: list[int] = []
    events: list[Event] = []
    rejects: list[tuple[int, Reject]] = []
    rewritten: dict[int, bytes] = {}
    for row, (value, time_ms) in enumerate(zip(values, times_ms, strict=True)):
        if value == PULSE:
            continue
        try:
            if not oldest_ms <= time_ms <= newest_ms:
                raise RefusedEventError("(record timestamp)", _span(oldest, newest), _readable(time_ms))
            if value is None or len(value) > MAX_EVENT_BYTES:
                raise _bad_size(value)
            event = decode(value)
            _check_required(event)
            if not oldest <= event.timestamp <= newest:
                raise RefusedEventError("$.timestamp", _span(oldest, newest), str(event.timestamp))
            if (event.tenant_id, event.application_id, event.data.model) not in _known_keys:
                _check_key(event)
            if normaliser is not None and event.tenant_id == DEFAULT_TENANT and normaliser.lacks_tenant(event, value):
                named = _second_look(value, time_ms, now, normaliser)
                if named is not None:
                    rewritten[row], event = named
        except Exception as error:
            second = None if normaliser is None or value is None else _second_look(value, time_ms, now, normaliser)
            if second is None:
                rejects.append((row, reject_from_error(error, value or b"")))
            else:
                rows.append(row)
                rewritten[row] = second[0]
                events.append(second[1])
        else:
            rows.append(row)
            events.append(event)
    return Decoded(rows, events, rejects, rewritten)


def _second_look(value: bytes, time_ms: int, now: datetime, normaliser: Normaliser) -> tuple[bytes, Event] | None:
    """The event in canonical form, if there is one."""
    if len(value) > MAX_EVENT_BYTES:
        return None
    canonical = normaliser.rewrite(value, now - OLDEST, now + NEWEST)
    if canonical is None:
        return None
    decoded = decode_batch([canonical], [time_ms], now)
    return (canonical, decoded.events[0]) if decoded.events else None


_decoder = msgspec.json.Decoder(Event)
_known_keys: set[tuple[str, str, str | None]] = set()
_KNOWN_KEYS_LIMIT = 200_000


def _check_required(event: Event) -> None:
    data = event.data
    kind = event.event_type
    # The two common types are spelled out: attribute access by a constant name is several times faster than getattr in a loop.
    if kind == "llm.response":
        if data.status is not None and data.latency_ms is not None:
            if data.status not in RESPONSE_STATUSES:
                raise RefusedEventError("$.data.status", "one of success, error, timeout", data.status)
            return
    elif kind == "llm.request" and data.model is not None and data.prompt is not None:
        return
    for name in REQUIRED[kind]:
        if getattr(data, name) is None:
            raise RefusedEventError(f"$.data.{name}", f"a value ({kind} requires it)", "nothing")


def _check_key(event: Event) -> None:
    for name, text in (("$.tenant_id", event.tenant_id), ("$.application_id", event.application_id), ("$.data.model", event.data.model)):
        if text is not None and not (0 < len(text) <= _MAX_ID_LENGTH and text.isprintable() and "|" not in text):
            raise RefusedEventError(name, f"1 to {_MAX_ID_LENGTH} printable characters without '|'", text)
    if len(_known_keys) >= _KNOWN_KEYS_LIMIT:
        _known_keys.clear()
    _known_keys.add((event.tenant_id, event.application_id, event.data.model))


def _bad_size(value: bytes | None) -> RefusedEventError:
    if value is None:
        return RefusedEventError("$", "a value", "a record without one (tombstone)")
    return RefusedEventError("$", f"at most {MAX_EVENT_BYTES:,} bytes", f"{len(value):,} bytes")


def _span(oldest: datetime, newest: datetime) -> str:
    return f"a time from {oldest:%Y-%m-%d %H:%M} to {newest:%Y-%m-%d %H:%M} UTC"


def _readable(time_ms: int) -> str:
    try:
        return to_rfc3339(time_ms)
    except (ValueError, OverflowError, OSError):
        return f"{time_ms} ms since 1970"
