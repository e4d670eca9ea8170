"""A batch is decoded at once where nothing in it needs a closer look, and gives what its records give one by one."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.events import decode
from sentinel.events.decode import decode_batch
from sentinel.events.model import PULSE
from sentinel.events.normalisation import NormalisationSettings, Normaliser
from tests.support.telemetry import event, request, response

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
NORMALISER = Normaliser(NormalisationSettings(applications={"orphan": "acme"}))


def _with(content: dict[str, Any], **changes: Any) -> bytes:
    """An event with some of its own fields, or those of its data, changed; None takes a field away."""
    document = json.loads(json.dumps(content))
    for name, value in changes.items():
        owner, field = (document["data"], name[5:]) if name.startswith("data_") else (document, name)
        owner[field] = value
        if value is None:
            del owner[field]
    return json.dumps(document).encode()


GOOD = request(NOW_MS, "acme", "chat"), response(NOW_MS, "acme", "chat")
RECORDS: list[bytes | None] = [
    *(json.dumps(content).encode() for content in GOOD),
    _with(event("llm.error", NOW_MS, "acme", "chat", {"error_type": "timeout"})),
    _with(GOOD[0], tenant_id="default", application_id="orphan"),
    _with(GOOD[0], tenant_id="default"),
    _with(GOOD[1], event_id=None),
    PULSE,
    None,
    b"",
    b"{",
    b"[" * 200,
    b"\xff\xfe",
    _with(GOOD[0], data_prompt="x" * 1_100_000),
    _with(GOOD[0], data_prompt=None),
    _with(GOOD[0], data_model=None),
    _with(GOOD[1], data_status="fine"),
    _with(GOOD[1], data_latency_ms=None),
    _with(GOOD[1], data_latency_ms="fast"),
    _with(GOOD[1], data_latency_ms=-1),
    _with(GOOD[0], tenant_id="a|b"),
    _with(GOOD[0], application_id=""),
    _with(GOOD[0], tenant_id="a\nb"),
    _with(GOOD[0], timestamp="1970-01-01T00:00:00Z"),
    _with(GOOD[0], timestamp="2100-01-01T00:00:00Z"),
    _with(GOOD[0], timestamp="2026-03-01T12:00:00"),
    _with(GOOD[0], event_type="llm.nothing"),
    _with(event("llm.trace", NOW_MS, "acme", "chat", {"trace_id": "t", "span_id": "s", "name": "n"})),
]
TIMES_MS = [NOW_MS, NOW_MS - 1000, 0, 4_102_444_800_000]


def both(records: list[tuple[bytes | None, int]], normaliser: Normaliser | None) -> tuple[Any, Any]:
    """The batch as it is decoded, and as the closer look alone decodes it, which says what is valid."""
    values, times_ms = [value for value, _ in records], [time_ms for _, time_ms in records]
    return decode_batch(values, times_ms, NOW, normaliser), decode._decode_one_by_one(values, times_ms, NOW, normaliser)


@given(st.lists(st.tuples(st.sampled_from(RECORDS[:7]), st.just(NOW_MS)), max_size=12), st.booleans())
@settings(max_examples=100, deadline=None)
def test_good_records_with_pulses_and_orphans_among_them(records: list[tuple[bytes | None, int]], normalised: bool) -> None:
    at_once, one_by_one = both(records, NORMALISER if normalised else None)
    assert at_once == one_by_one
    assert not at_once.rejects


@given(st.lists(st.tuples(st.sampled_from(RECORDS), st.sampled_from([NOW_MS] * 8 + TIMES_MS)), max_size=8), st.booleans())
@settings(max_examples=150, deadline=None)
def test_any_records(records: list[tuple[bytes | None, int]], normalised: bool) -> None:
    at_once, one_by_one = both(records, NORMALISER if normalised else None)
    assert at_once == one_by_one


@pytest.mark.parametrize("number", range(7, len(RECORDS)))
def test_one_bad_record_among_good_ones_is_refused_alone(number: int) -> None:
    good = json.dumps(GOOD[0]).encode()
    decoded = decode_batch([good, RECORDS[number], good], [NOW_MS] * 3, NOW)
    assert decoded.rows == [0, 2] and [row for row, _ in decoded.rejects] == [1]


def test_a_flawless_batch_is_not_decoded_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> Any:
        raise AssertionError("looked at one by one")

    monkeypatch.setattr(decode, "_decode_one_by_one", never)
    values = [value for value in RECORDS[:3] if value is not None] * 2 + [PULSE]
    assert len(decode_batch(values, [NOW_MS] * 7, NOW).events) == 6
