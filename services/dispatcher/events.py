"""The dispatcher's log: one JSON object a line on standard error. No receiver address and no secret is ever passed in."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import Any

import orjson

from sentinel.timestamps import to_rfc3339


def log_event(event: str, **fields: Any) -> None:
    """Writes one line: `{"time": …, "event": …, …fields}`. Values that JSON does not know become text."""
    line = {"time": to_rfc3339(time.time_ns() // 1_000_000), "event": event, **fields}
    # A full disk behind the log stops nothing that is logged.
    with suppress(OSError):
        sys.stderr.buffer.write(orjson.dumps(line, default=str, option=orjson.OPT_APPEND_NEWLINE))
        sys.stderr.buffer.flush()


def plain(text: str, limit: int = 500) -> str:
    """Text fit for a log line, a ledger row or a mail header: control characters become spaces, cut at `limit` characters."""
    cleaned = "".join(character if character.isprintable() else " " for character in text)
    return cleaned if len(cleaned) <= limit else cleaned[: limit - 1] + "…"


class Sparingly:
    """Writes an event at most once in `interval_s`, with how many were left out since.

    A Kafka client that reconnects 20 times a second says so 20 times a second.
    """

    def __init__(self, event: str, interval_s: float = 10.0) -> None:
        self._event = event
        self._interval_s = interval_s
        self._last = -interval_s
        self._left_out = 0

    def __call__(self, error: object) -> None:
        now = time.monotonic()
        if now - self._last < self._interval_s:
            self._left_out += 1
            return
        log_event(self._event, error=plain(str(error)), left_out=self._left_out)
        self._last, self._left_out = now, 0
