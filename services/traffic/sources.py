"""Files that `sentinel replay` reads: telemetry-jsonl lines and the common shape of all formats."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import orjson

from services.traffic.timed import TimedEvent, TimedStream, parse_ms


class SourceError(ValueError):
    """The file cannot be replayed in the format named; the message names file, line, value and what was expected."""


Reader = Callable[[Path, int], TimedStream]


def read_jsonl(path: Path, seed: int) -> TimedStream:
    """Each line as one record, bytes unchanged. A line that is no event (broken JSON, no object, no readable time) is passed on as it is:
    refusing it is the work of the system under test. `seed` is not used: nothing is modelled.

    Such a line gets the time of the line before it; leading ones that of the first readable line. Raises SourceError when no line of the
    file has a readable time, OSError when the file cannot be read.
    """
    waiting: list[TimedEvent] = []
    time_ms: int | None = None
    with path.open("rb") as file:
        for line in file:
            raw = line.rstrip(b"\r\n")
            if not raw.strip():
                continue
            timed = _decode(raw, time_ms)
            if timed.event is None and time_ms is None:
                waiting.append(timed)
                continue
            time_ms = timed.ts_ms
            for early in waiting:
                yield early._replace(ts_ms=time_ms)
            waiting.clear()
            yield timed
    if time_ms is None:
        raise SourceError(
            f"{path}:1: expected lines of JSON, each a telemetry event with an ISO 8601 `timestamp`; "
            f"found {len(waiting)} lines and none that can be read so"
        )


def _decode(raw: bytes, last_ms: int | None) -> TimedEvent:
    try:
        event = orjson.loads(raw)
        if isinstance(event, dict):
            return TimedEvent(parse_ms(event.get("timestamp")), event, raw)
    except (ValueError, OverflowError):
        pass
    return TimedEvent(last_ms or 0, None, raw)
