"""The truth about injected trouble, kept beside the traffic."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import orjson

from services.traffic.timed import format_ms, parse_ms


@dataclass
class Truth:
    """What was injected: the reference that detections are compared with. Times are event time."""

    kind: str
    tenant_id: str
    application_id: str
    user_id: str | None
    start_ms: int
    end_ms: int
    size: dict[str, float]
    events_touched: int = 0

    def to_json(self) -> bytes:
        """One line of the truth file."""
        record = {
            "kind": self.kind,
            "tenant_id": self.tenant_id,
            "application_id": self.application_id,
            "user_id": self.user_id,
            "start": format_ms(self.start_ms),
            "end": format_ms(self.end_ms),
            "size": self.size,
            "events_touched": self.events_touched,
        }
        return orjson.dumps(record) + b"\n"


def write_truth(truths: list[Truth], path: Path) -> None:
    """Write a truth file: one JSON line for each injection of the plan."""
    path.write_bytes(b"".join(truth.to_json() for truth in truths))


def read_truth(path: Path) -> list[Truth]:
    """Read a truth file. Raises OSError or, naming file and line, ValueError."""
    result = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            r = orjson.loads(line)
            place = (r["kind"], r["tenant_id"], r["application_id"], r["user_id"])
            result.append(Truth(*place, parse_ms(r["start"]), parse_ms(r["end"]), r["size"], r["events_touched"]))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}:{number}: expected a truth record: {error!r}") from error
    return result
