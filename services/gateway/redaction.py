"""Personal data leave events at the door, by the tenant's policy (`ingestion.privacy`), before anything is written anywhere.

Most events hold none. So the texts of a whole batch are put together and looked through once; only when something is found there, event by event; and only
an event that holds something is taken apart and written anew. Measured with events of 900 B (two shared cores): 15 µs an event without a finding, where
taking every event apart costs 80 µs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from sentinel.events.rejects import Reject
from sentinel.privacy.redaction import Redactor
from services.gateway.admission import NOT_JSON

_KEPT = frozenset(("event_id", "timestamp", "event_type", "tenant_id", "application_id", "source"))
"""They name the event and its sender: keys of everything behind the doors."""
_SEPARATOR = "\n\x00\n"
"""No rule reaches across it."""
_LONG_NUMBER = 10**11
_TOO_DEEP = Reject("$", "a document of at most 100 levels", "deeper nesting", "the document is nested too deeply to be looked through")


class DoorRedaction:
    """Redacts batches. `redacted_events` counts those that were changed, `values` the values by kind."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self.redacted_events = 0
        self.values: dict[str, int] = {}

    def redact(self, values: Sequence[bytes], tenants: Sequence[str]) -> list[bytes | Reject]:
        """The events as they may be kept; a refusal for one that cannot be looked through."""
        acts = {tenant: self._redactor.acts_on(tenant) for tenant in set(tenants)}
        kept: list[bytes | Reject] = list(values)
        texts: dict[int, str] = {}
        for place, (value, tenant) in enumerate(zip(values, tenants, strict=True)):
            if acts[tenant]:
                found: list[str] = []
                try:
                    _collect(orjson.loads(value), found, _KEPT)
                    texts[place] = _SEPARATOR.join(found)
                except orjson.JSONDecodeError:
                    kept[place] = NOT_JSON
                except RecursionError:
                    kept[place] = _TOO_DEEP
        if texts and self._redactor.holds_any(_SEPARATOR.join(texts.values())):
            for place, text in texts.items():
                if self._redactor.holds_any(text):
                    kept[place] = self._without(values[place], tenants[place])
        return kept

    def _without(self, value: bytes, tenant: str) -> bytes | Reject:
        document: dict[str, Any] = orjson.loads(value)
        counts: dict[str, int] = {}
        ids = self._ids(document, tenant, counts)
        try:
            for kind, count in self._redactor.redact_document(document, tenant, _KEPT | ids.keys()).items():
                counts[kind] = counts.get(kind, 0) + count
        except RecursionError:
            return _TOO_DEEP
        for path, text in ids.items():
            place = document if path == "correlation_id" else document["metadata"]
            place[path] = text
        if not counts:
            return value
        self.redacted_events += 1
        for kind, count in counts.items():
            self.values[kind] = self.values.get(kind, 0) + count
        return orjson.dumps(document)

    def _ids(self, document: dict[str, Any], tenant: str, counts: dict[str, int]) -> dict[str, str]:
        """Ids of people and calls, redacted so that two stay two; taken out of the metadata until the rest is done."""
        metadata = document.get("metadata")
        places = [(document, "correlation_id"), *((metadata, name) for name in ("user_id", "session_id") if isinstance(metadata, dict))]
        found: dict[str, str] = {}
        for place, name in places:
            text = place.get(name) if place is not None else None
            if isinstance(text, str):
                found[name], own = self._redactor.redact_id(text, tenant)
                for kind, count in own.items():
                    counts[kind] = counts.get(kind, 0) + count
                if place is metadata and metadata is not None:
                    metadata[name] = ""
        return found


def _collect(value: Any, found: list[str], kept: frozenset[str] = frozenset()) -> None:
    """Every text, unusual key and long number of a JSON value."""
    if type(value) is dict:
        for key, item in value.items():
            if not key.isidentifier():
                found.append(key)
            if key not in kept:
                kind = type(item)
                if kind is str:
                    found.append(item)
                elif kind is dict or kind is list or kind is int:
                    _collect(item, found)
    elif type(value) is list:
        for item in value:
            if type(item) is str:
                found.append(item)
            else:
                _collect(item, found)
    elif type(value) is int and abs(value) >= _LONG_NUMBER:
        found.append(str(value))
