"""The unit that every traffic stage hands on: one event with its event time, and the time formats of the telemetry contract."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

Event = dict[str, Any]


class TimedEvent(NamedTuple):
    """One record on its way to Kafka or a file.

    `event` is the decoded event, or None for a line that could not be read; `raw` is set when the original bytes must travel unchanged.
    `ts_ms` is the event time in epoch milliseconds (for an unreadable line: that of the record before it).
    """

    ts_ms: int
    event: Event | None
    raw: bytes | None = None

    def value(self) -> bytes:
        """The bytes that are written."""
        return self.raw if self.raw is not None else orjson.dumps(self.event)

    def key(self) -> bytes | None:
        """Kafka record key `tenant|application`, which keeps one application on one partition and so in order; None if there is none."""
        if self.event is None:
            return None
        return record_key(self.event.get("tenant_id"), self.event.get("application_id"))


TimedStream = Iterator[TimedEvent]


def record_key(tenant_id: object, application_id: object) -> bytes | None:
    """Key bytes of one application; None when the event does not name its application by a string."""
    if not isinstance(application_id, str):
        return None
    tenant = tenant_id if isinstance(tenant_id, str) else "default"
    return f"{tenant}|{application_id}".encode("utf-8", "replace")


@functools.lru_cache(maxsize=4096)
def _second_prefix(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S.")


def format_ms(ts_ms: int) -> str:
    """Epoch milliseconds as RFC 3339 UTC with milliseconds: `2025-11-06T12:34:56.789Z`."""
    second, ms = divmod(ts_ms, 1000)
    return f"{_second_prefix(second)}{ms:03d}Z"


def parse_ms(text: object) -> int:
    """Epoch milliseconds of an ISO 8601 stamp with zone (no zone = UTC). Raises ValueError for anything else."""
    if not isinstance(text, str):
        raise ValueError(f"expected an ISO 8601 date-time string, found {type(text).__name__}")
    stamp = datetime.fromisoformat(text)
    if stamp.tzinfo is None:
        stamp = stamp.replace(tzinfo=UTC)
    return int(stamp.timestamp() * 1000 + 0.5)


def with_time(timed: TimedEvent, ts_ms: int) -> TimedEvent:
    """The same event at another time; the body's timestamp moves along."""
    if timed.event is None:
        return timed._replace(ts_ms=ts_ms)
    return TimedEvent(ts_ms, {**timed.event, "timestamp": format_ms(ts_ms)})
