"""A record of `llm-telemetry-dlq`: an event that was refused, where it lay, why, and its bytes."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

import msgspec

from services.dlq.errors import DlqError
from services.dlq.scan import Stored

TOPIC = "llm-telemetry-dlq"


class DlqRecord(msgspec.Struct, kw_only=True):
    """One refused event. `record_timestamp` and `failed_at` are RFC 3339; `path` is a JSON path such as `$.data.latency_ms`."""

    dlq_id: str
    topic: str
    partition: int
    offset: int
    record_timestamp: str
    failed_at: str
    tenant_id: str | None = None
    path: str = "$"
    expected: str = ""
    found: str = ""
    reason: str = ""
    original_base64: str = ""
    original_bytes: int = 0
    truncated: bool = False

    def original(self) -> bytes:
        """The bytes as they came. Raises DlqError when the record does not hold them whole."""
        try:
            value = base64.b64decode(self.original_base64, validate=True)
        except (binascii.Error, ValueError):
            raise DlqError(f"dead letter {self.dlq_id}: its original is not base64") from None
        if self.truncated or len(value) != self.original_bytes:
            raise DlqError(f"dead letter {self.dlq_id}: it holds {len(value):,} of {self.original_bytes:,} bytes of the original")
        return value

    def summary(self) -> dict[str, Any]:
        """Everything but the bytes."""
        return {name: value for name, value in msgspec.structs.asdict(self).items() if name != "original_base64"}


_decoder = msgspec.json.Decoder(DlqRecord)


def parse(stored: Stored) -> DlqRecord:
    """Raises DlqError naming the place when the record is not a dead letter."""
    try:
        return _decoder.decode(stored.value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DlqError(f"{TOPIC} {stored.partition}:{stored.offset} is not a dead letter: {error}") from None


def parse_place(text: str) -> tuple[int, int]:
    """Partition and offset of `PARTITION:OFFSET`. Raises DlqError."""
    match = re.fullmatch(r"(\d{1,9}):(\d{1,18})", text)
    if match is None:
        raise DlqError(f"{text!r} is not a dead letter: expected PARTITION:OFFSET, as 0:42 (`sentinel dlq list` shows them)")
    return int(match[1]), int(match[2])
