"""Decoding, columns and folding against a plain, slow restatement of what they mean."""

from __future__ import annotations

import json
import math
import uuid
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.events.columns import columns_of
from sentinel.events.decode import decode_batch
from sentinel.events.folding import fold
from sentinel.pane_blocks import PANE_SUMS, PaneBlock, from_bytes, from_texts, merged, to_bytes, to_text
from sentinel.panes import LOG_SCALE, Pane, UserPane, histogram_bucket, shard_of
from sentinel.user_tally import UserTally

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
ID = "00000000-0000-4000-8000-{:012d}"

calls = st.fixed_dictionaries(
    {
        "event_type": st.sampled_from(["llm.request", "llm.response", "llm.error"]),
        "tenant_id": st.sampled_from(["t1", "t2"]),
        "application_id": st.sampled_from(["chat", "search"]),
        "model": st.sampled_from([None, "m1", "m2"]),
        "user_id": st.sampled_from([None, "", "ann", "bob"]),
        "offset_ms": st.integers(0, 12_000),
        "latency_ms": st.none() | st.floats(0, 400_000),
        "total_tokens": st.none() | st.integers(0, 10_000),
        "prompt_tokens": st.none() | st.integers(0, 5_000),
        "completion_tokens": st.none() | st.integers(0, 5_000),
        "cost": st.none() | st.floats(0, 10),
        "status": st.sampled_from(["success", "error", "timeout"]),
    }
)


def encoded(call: dict[str, Any], number: int) -> bytes:
    """The wire form; what the type requires is always there."""
    names = ("total_tokens", "prompt_tokens", "completion_tokens", "cost", "latency_ms", "model")
    data = {name: call[name] for name in names if call[name] is not None}
    match call["event_type"]:
        case "llm.request":
            data |= {"model": call["model"] or "m1", "prompt": "hello"}
        case "llm.response":
            data |= {"status": call["status"], "latency_ms": call["latency_ms"] or 0.0}
        case _:
            data |= {"error_type": "overloaded"}
    metadata = {} if call["user_id"] is None else {"metadata": {"user_id": call["user_id"]}}
    event = {
        "event_id": ID.format(number),
        "timestamp": "2026-03-01T11:59:00Z",
        "source": {"service": "s", "host": "h"},
        **{name: call[name] for name in ("event_type", "tenant_id", "application_id")},
        "data": data,
        **metadata,
    }
    return json.dumps(event).encode()


def folded(batch: list[dict[str, Any]], first: int = 0) -> list[tuple[int, PaneBlock]]:
    """The blocks of a batch with their shards."""
    times = [NOW_MS + call["offset_ms"] for call in batch]
    decoded = decode_batch([encoded(call, first + number) for number, call in enumerate(batch)], times, NOW)
    assert not decoded.rejects
    columns = columns_of(decoded.events, np.array(times, np.int64))
    return fold(columns, [event.event_id or uuid.UUID(int=0) for event in decoded.events])


def collected(*parts: list[tuple[int, PaneBlock]]) -> list[PaneBlock]:
    """As SQL collects them: the blocks of each shard's second joined as text, then merged."""
    texts: dict[tuple[int, int], list[str]] = defaultdict(list)
    for shard, block in (entry for part in parts for entry in part):
        texts[shard, block.start_ms].append(to_text(block))
    return [from_texts(",".join(found)) for found in texts.values()]


def panes_of(blocks: list[PaneBlock]) -> dict[tuple[Any, ...], Pane]:
    return {(pane.tenant_id, pane.application_id, pane.model, pane.start_ms): pane for block in blocks for pane in block.panes()}


def without_any(panes: dict[tuple[Any, ...], Pane]) -> dict[tuple[Any, ...], Pane]:
    """One event of each pane is any of its events: which one may differ."""
    return {key: msgspec.structs.replace(pane, first_event="") for key, pane in panes.items()}


def user_panes(blocks: list[PaneBlock]) -> list[UserPane]:
    tally = UserTally()
    for block in blocks:
        tally.add(block.start_ms, block.users)
    return tally.close(NOW_MS + 3_600_000)


def plain(batch: list[dict[str, Any]]) -> dict[tuple[Any, ...], dict[str, Any]]:
    """What the panes must hold, one event after the other."""
    panes: dict[tuple[Any, ...], dict[str, Any]] = defaultdict(lambda: defaultdict(int) | {"hist": [0] * 36, "exemplars": ["", "", ""]})
    for number, call in enumerate(batch):
        data = json.loads(encoded(call, number))["data"]
        time_ms = NOW_MS + call["offset_ms"]
        pane = panes[call["tenant_id"], call["application_id"], data.get("model", "unknown"), time_ms - time_ms % 1000]
        is_call = call["event_type"] != "llm.request"
        pane["events"] += 1
        pane["prompts"] += not is_call
        pane["calls"] += is_call
        pane["errors"] += call["event_type"] == "llm.error" or (is_call and data.get("status", "success") != "success")
        if not is_call:
            continue
        tokens = data.get("total_tokens")
        if tokens is None and "prompt_tokens" in data and "completion_tokens" in data:
            tokens = data["prompt_tokens"] + data["completion_tokens"]
        quantities = (
            ("latency", "sum_us", data.get("latency_ms"), 1e3, 1.0),
            ("token", "sum", tokens, 1.0, 1.0),
            ("cost", "sum_nano", data.get("cost"), 1e9, 1e6),
        )
        for place, (name, total, value, scale, log_unit) in enumerate(quantities):
            if value is None:
                continue
            whole, log = round(value * scale), int(np.rint(LOG_SCALE * math.log1p(value * log_unit)))
            for field, amount in (
                (f"{name}_count", 1),
                (f"{name}_{total}", whole),
                (f"{name}_log_sum", log),
                (f"{name}_log_sumsq", log * log),
            ):
                pane[field] += amount
            if whole > 0:
                pane["exemplars"][place] = max(pane["exemplars"][place], f"{whole:016d}{ID.format(number)}")
            if name == "latency":
                pane["hist"][histogram_bucket(value)] += 1
    return panes


@settings(max_examples=150, deadline=None)
@given(st.lists(calls, min_size=1, max_size=40))
def test_folding_is_what_one_event_after_the_other_gives(batch: list[dict[str, Any]]) -> None:
    blocks = folded(batch)
    assert all(shard == shard_of(key[0], key[1]) for shard, block in blocks for key in block.keys)
    found, wanted = panes_of(collected(blocks)), plain(batch)
    assert found.keys() == wanted.keys()
    for key, pane in found.items():
        expected = wanted[key]
        assert {name: getattr(pane, name) for name in PANE_SUMS} == {name: expected[name] for name in PANE_SUMS}
        assert pane.latency_hist == expected["hist"]
        tops = (
            (pane.latency_max_us, pane.latency_max_event),
            (pane.token_max, pane.token_max_event),
            (pane.cost_max_nano, pane.cost_max_event),
        )
        assert [f"{number:016d}{event}" if event else "" for number, event in tops] == expected["exemplars"]
        assert uuid.UUID(pane.first_event)


@settings(max_examples=100, deadline=None)
@given(st.lists(calls, min_size=1, max_size=40))
def test_user_panes_know_how_many_users_there_were_and_who_was_busiest(batch: list[dict[str, Any]]) -> None:
    counted: dict[tuple[Any, ...], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for call in batch:
        time_ms = NOW_MS + call["offset_ms"]
        if call["user_id"]:
            counted[call["tenant_id"], call["application_id"], time_ms - time_ms % 10_000][call["user_id"]] += 1
    found = user_panes(collected(folded(batch)))
    assert {(p.tenant_id, p.application_id, p.start_ms): (p.users, p.events, p.top_user_events, p.top_user) for p in found} == {
        key: (len(users), sum(users.values()), *max((count, user) for user, count in users.items())) for key, users in counted.items()
    }


@settings(max_examples=50, deadline=None)
@given(st.lists(calls, min_size=2, max_size=30), st.data())
def test_however_the_stream_is_cut_the_merged_panes_are_the_same(batch: list[dict[str, Any]], data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, len(batch) - 1))
    whole, parts = collected(folded(batch)), collected(folded(batch[cut:], cut), folded(batch[:cut]))
    assert without_any(panes_of(parts)) == without_any(panes_of(whole))
    assert user_panes(parts) == user_panes(whole)


def test_a_merged_block_stays_as_it_is() -> None:
    """What the journal holds is a merged block, and reading it back must not change it."""
    base = {"event_type": "llm.response", "status": "success", "tenant_id": "t", "application_id": "a", "user_id": "ann", "offset_ms": 0}
    base |= {"total_tokens": 7, "prompt_tokens": None, "completion_tokens": None, "cost": 0.5, "latency_ms": 12.0}
    blocks = collected(folded([base | {"model": "m1"}]), folded([base | {"model": "m2"}, base | {"model": "m1"}], 1))
    (block,) = blocks
    assert [pane.events for pane in block.panes()] == [2, 1]
    assert panes_of([from_bytes(to_bytes(block))]) == panes_of(blocks) == panes_of([merged(block)])


@given(
    st.lists(
        st.lists(st.sampled_from([0, 1, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**62]), min_size=1, max_size=3), min_size=1, max_size=4
    )
)
def test_numbers_travel_as_narrow_as_they_are_and_arrive_the_same(blocks: list[list[int]]) -> None:
    def block(values: list[int]) -> PaneBlock:
        keys = [("t", "a", f"m{number}") for number in range(len(values))]
        columns = [np.repeat(np.array([values], np.int64).T, width, axis=1) for width in (len(PANE_SUMS), 36, 3)]
        return PaneBlock(0, keys, *columns, ids=[bytes(64)] * len(values))

    made = [block([value // len(blocks) for value in values]) for values in blocks]
    for one in made:
        arrived = from_bytes(to_bytes(one))
        for name in ("sums", "histograms", "maxima"):
            assert getattr(arrived, name).dtype == np.int64
            assert np.array_equal(getattr(arrived, name), getattr(one, name))
    together = from_texts(",".join(map(to_text, made)))
    for row in range(len(together.keys)):
        values = [one.sums[row, 0] for one in made if row < len(one.keys)]
        assert (together.sums[row, 0], together.histograms[row, 35], together.maxima[row, 2]) == (sum(values), sum(values), max(values))
    small = block([1, 2, 3])
    assert len(to_bytes(small)) < 3 * (55 + 64) + 120, "a byte each"


def test_a_block_of_an_earlier_checkpoint_is_read() -> None:
    """Then sums and maxima always had eight bytes, buckets four."""
    numbers = [np.arange(16).astype(np.int64), np.arange(36).astype(np.uint32), np.arange(3).astype(np.int64)]
    arrived = from_bytes(msgspec.msgpack.encode([0, ["t", "a", "m"], *(each.tobytes() for each in numbers), bytes(64), [], []]))
    assert [arrived.sums.tolist(), arrived.histograms.tolist(), arrived.maxima.tolist()] == [[each.tolist()] for each in numbers]


def test_a_bad_record_is_refused_alone() -> None:
    good = {"event_type": "llm.request", "tenant_id": "t", "application_id": "a", "model": "m", "user_id": None, "offset_ms": 0}
    good |= dict.fromkeys(("latency_ms", "total_tokens", "prompt_tokens", "completion_tokens", "cost", "status"))
    values = [encoded(good, 1), b"{", None, b"\xff", encoded(good | {"tenant_id": "a|b"}, 2), encoded(good, 3)]
    decoded = decode_batch(values, [NOW_MS] * 5 + [0], NOW)
    assert decoded.rows == [0]
    assert [row for row, _ in decoded.rejects] == [1, 2, 3, 4, 5]
    assert [reject.path for _, reject in decoded.rejects][3:] == ["$.tenant_id", "(record timestamp)"]
