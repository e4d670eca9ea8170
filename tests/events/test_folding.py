"""Decoding, columns and folding against a plain, slow restatement of what they mean."""

from __future__ import annotations

import json
import math
import uuid
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.events.columns import columns_of
from sentinel.events.decode import decode_batch
from sentinel.events.folding import EXEMPLAR_DIGITS, PANE_SUMS, PartialPanes, fold_panes, fold_user_panes
from sentinel.panes import LOG_SCALE, histogram_bucket, unpack_histogram

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


def folded(batch: list[dict[str, Any]], first: int = 0) -> tuple[PartialPanes, dict[tuple[Any, ...], int]]:
    """Panes of a batch, and events by (tenant, application, user, start)."""
    times = [NOW_MS + call["offset_ms"] for call in batch]
    decoded = decode_batch([encoded(call, first + number) for number, call in enumerate(batch)], times, NOW)
    assert not decoded.rejects
    columns = columns_of(decoded.events, np.array(times, np.int64))
    users = fold_user_panes(columns)
    counts = {(*key, start): events for key, start, events in zip(users.keys, users.starts_ms.tolist(), users.events.tolist(), strict=True)}
    return fold_panes(columns, [event.event_id for event in decoded.events]), counts


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
                pane["exemplars"][place] = max(pane["exemplars"][place], f"{whole:0{EXEMPLAR_DIGITS}d}{ID.format(number)}")
            if name == "latency":
                pane["hist"][histogram_bucket(value)] += 1
    return panes


@settings(max_examples=150, deadline=None)
@given(st.lists(calls, min_size=1, max_size=40))
def test_folding_is_what_one_event_after_the_other_gives(batch: list[dict[str, Any]]) -> None:
    found, users = folded(batch)
    wanted = plain(batch)
    assert {(*key, start) for key, start in zip(found.keys, found.starts_ms.tolist(), strict=True)} == wanted.keys()
    for key, start, sums, exemplars in zip(found.keys, found.starts_ms.tolist(), found.sums.tolist(), found.exemplars, strict=True):
        pane = wanted[(*key, start)]
        assert dict(zip(PANE_SUMS, sums, strict=False)) == {name: pane[name] for name in PANE_SUMS}
        assert unpack_histogram(sums[len(PANE_SUMS) :]) == pane["hist"]
        assert list(exemplars[:3]) == pane["exemplars"]
        assert uuid.UUID(exemplars[3])
    named = [(c["tenant_id"], c["application_id"], c["user_id"], NOW_MS + c["offset_ms"]) for c in batch if c["user_id"]]
    counted: dict[tuple[Any, ...], int] = defaultdict(int)
    for tenant, application, user, time_ms in named:
        counted[tenant, application, user, time_ms - time_ms % 10_000] += 1
    assert users == counted


@settings(max_examples=50, deadline=None)
@given(st.lists(calls, min_size=2, max_size=30), st.data())
def test_however_the_stream_is_cut_the_merged_panes_are_the_same(batch: list[dict[str, Any]], data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, len(batch) - 1))
    parts = [folded(batch[:cut])[0], folded(batch[cut:], cut)[0]]
    assert merged(parts) == merged([folded(batch)[0]])


def merged(parts: list[PartialPanes]) -> dict[tuple[Any, ...], tuple[list[int], list[str]]]:
    """As SQL merges them: sums by SUM, exemplars by MAX ("any event" is any)."""
    result: dict[tuple[Any, ...], tuple[list[int], list[str]]] = {}
    for part in parts:
        for key, start, sums, exemplars in zip(part.keys, part.starts_ms.tolist(), part.sums.tolist(), part.exemplars, strict=True):
            before = result.get((*key, start), ([0] * len(sums), ["", "", ""]))
            result[(*key, start)] = (
                [a + b for a, b in zip(before[0], sums, strict=True)],
                [max(pair) for pair in zip(before[1], exemplars[:3], strict=True)],
            )
    return result


def test_a_bad_record_is_refused_alone() -> None:
    good = {"event_type": "llm.request", "tenant_id": "t", "application_id": "a", "model": "m", "user_id": None, "offset_ms": 0}
    good |= dict.fromkeys(("latency_ms", "total_tokens", "prompt_tokens", "completion_tokens", "cost", "status"))
    values = [encoded(good, 1), b"{", None, b"\xff", encoded(good | {"tenant_id": "a|b"}, 2), encoded(good, 3)]
    decoded = decode_batch(values, [NOW_MS] * 5 + [0], NOW)
    assert decoded.rows == [0]
    assert [row for row, _ in decoded.rejects] == [1, 2, 3, 4, 5]
    assert [reject.path for _, reject in decoded.rejects][3:] == ["$.tenant_id", "(record timestamp)"]
