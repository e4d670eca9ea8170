"""Times on the wire: RFC 3339 in UTC with milliseconds; inside, integer epoch milliseconds."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

_LATEST_MS = 253_402_300_799_999
"""The last millisecond of year 9999, the last one that RFC 3339 can write."""


def to_rfc3339(epoch_ms: int) -> str:
    """`2025-11-06T12:34:56.789Z` for an epoch in milliseconds; times before 1970 or after 9999 are written as the nearest of these."""
    second, millis = divmod(min(max(epoch_ms, 0), _LATEST_MS), 1000)
    return f"{_second(second)}.{millis:03d}Z"


@lru_cache(maxsize=4096)
def _second(epoch_s: int) -> str:
    """Times come in crowds, and `strftime` costs as much as the rest of a record."""
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def from_rfc3339(text: str) -> int:
    """Epoch milliseconds of an RFC 3339 time; raises ValueError for one without a zone."""
    parsed = datetime.fromisoformat(text)
    if parsed.tzinfo is None:
        raise ValueError(f"time {text!r} has no zone: expected RFC 3339, as 2025-11-06T12:34:56.789Z")
    return round(parsed.timestamp() * 1000)
