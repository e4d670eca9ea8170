"""The dispatcher's log: one JSON object a line on standard error. No receiver address and no secret is ever passed in."""

from __future__ import annotations

import sys
import time
from typing import Any

import orjson

from sentinel.timestamps import to_rfc3339


def log_event(event: str, **fields: Any) -> None:
    """Writes one line: `{"time": …, "event": …, …fields}`. Values that JSON does not know become text."""
    line = {"time": to_rfc3339(time.time_ns() // 1_000_000), "event": event, **fields}
    sys.stderr.buffer.write(orjson.dumps(line, default=str, option=orjson.OPT_APPEND_NEWLINE))
    sys.stderr.buffer.flush()


def plain(text: str, limit: int = 500) -> str:
    """Text fit for a log line, a ledger row or a mail header: control characters become spaces, cut at `limit` characters."""
    cleaned = "".join(character if character.isprintable() else " " for character in text)
    return cleaned if len(cleaned) <= limit else cleaned[: limit - 1] + "…"
