"""Dead letters: parsed strictly, sent again byte for byte, shown without harm."""

import base64
from typing import Any

import msgspec
import pytest

from sentinel.events.rejects import Reject, dlq_record
from services.cli.safe_text import safe_text
from services.dlq.errors import DlqError
from services.dlq.records import parse, parse_place
from services.dlq.replay import message
from services.dlq.scan import Stored

ORIGINAL = b'{"tenant_id": "acme", \xff\x00'


def letter(**changes: Any) -> Stored:
    text = dlq_record(
        ORIGINAL,
        Reject("$.data", "an object", "nothing", "why", "acme"),
        topic="llm-telemetry",
        partition=3,
        offset=41,
        record_ms=1_767_323_045_678,
        failed_ms=1_767_323_046_000,
    )
    return Stored(0, 7, msgspec.json.encode(msgspec.json.decode(text) | changes))


def test_what_ingestion_writes_is_sent_again_byte_for_byte() -> None:
    record = parse(letter())
    sent = message(record)
    assert sent["value"] == ORIGINAL
    assert (sent["topic"], sent["partition"], sent["timestamp"]) == ("llm-telemetry", 3, 1_767_323_045_678)
    assert sent["headers"] == [("sentinel-replay", record.dlq_id.encode())]
    assert message(record, now=True)["timestamp"] > 1_767_323_045_678


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"truncated": True}, "of the original"),
        ({"original_base64": "%%%"}, "is not base64"),
        ({"original_base64": base64.b64encode(b"short").decode()}, "it holds 5 of 24 bytes"),
        ({"topic": "llm-telemetry-dlq"}, "is not a source topic"),
        ({"record_timestamp": "yesterday"}, "is no RFC 3339 time"),
    ],
)
def test_what_cannot_be_sent_again(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(DlqError, match=reason):
        message(parse(letter(**changes)))


def test_a_foreign_record_is_named_by_its_place() -> None:
    with pytest.raises(DlqError, match="llm-telemetry-dlq 2:9 is not a dead letter"):
        parse(Stored(2, 9, b"junk"))


def test_places() -> None:
    assert parse_place("0:42") == (0, 42)
    for wrong in ("", "0", "0:", "-1:3", "a:b", "1:2:3"):
        with pytest.raises(DlqError, match="expected PARTITION:OFFSET"):
            parse_place(wrong)


def test_text_that_would_command_a_terminal_is_shown_instead() -> None:
    assert safe_text("\x1b]0;owned\x07 é\u202e\n") == "\\x1b]0;owned\\x07 é\\u202e\\n"
    assert safe_text("a\nb\r", keep_lines=True) == "a\nb\\r"
