"""One live anomaly as correlation keeps it, and what two of them have in common."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

import msgspec

from sentinel.anomaly import Anomaly
from sentinel.timestamps import from_rfc3339

TOGETHER_MS = 60_000
"""How near to each other anomalies of different applications begin whose common cause is a model or shows in the same metric."""

NEVER = 1 << 62
MAX_SAMPLES = 10


class Record(msgspec.Struct, array_like=True):
    """One anomaly id: its folded record with the scores before correlation, when it was last sent, and when (on the
    caller's clock) its last occurrence came."""

    anomaly: Anomaly
    first_ms: int
    last_ms: int
    score: float
    severity: str
    occurrences: dict[int, None]
    sent_ms: int = 0
    sent_mark: int = 0
    dirty: bool = False
    touched_ms: int = 0
    resolved: bool = False
    acknowledged: bool = False
    muted_by: str = ""
    """What holds its alerts back: the id of a silence, `maintenance window NAME`, or `snoozed`"""
    asked: list[dict[str, Any]] = []
    """What people asked for, as it stands in `actions_taken` behind the orders to Shield"""
    shield_orders: int = 0


def new_record(anomaly: Anomaly, first_ms: int) -> Record:
    """The record of an id that is new."""
    last_ms = from_rfc3339(anomaly.last_seen or anomaly.timestamp)
    return Record(anomaly, first_ms, last_ms, anomaly.score, anomaly.severity, {occurrence(anomaly): None})


def folded(record: Record, anomaly: Anomaly, first_ms: int, last_ms: int) -> Anomaly:
    """The record's anomaly with one more occurrence in it, which began and ended at these times; the worst one gives the words and figures."""
    held = record.anomaly
    worst = anomaly if (anomaly.score, -first_ms) > (record.score, -record.first_ms) else held
    early, late = first_ms < record.first_ms, last_ms > record.last_ms
    context = dict(held.context)
    if anomaly.context:
        starts = [start for start in (held.context.get("window_start"), anomaly.context.get("window_start")) if start]
        ends = [end for end in (held.context.get("window_end"), anomaly.context.get("window_end")) if end]
        samples = dict.fromkeys([*held.context.get("sample_events", ()), *anomaly.context.get("sample_events", ())])
        context |= {"sample_events": list(samples)[:MAX_SAMPLES]}
        context |= {"window_start": min(starts)} if starts else {}
        context |= {"window_end": max(ends)} if ends else {}
        traces = sorted({*held.context.get("trace_ids", ()), *anomaly.context.get("trace_ids", ())})[:MAX_SAMPLES]
        context |= {"trace_ids": traces} if traces else {}
    return msgspec.structs.replace(
        held,
        timestamp=anomaly.timestamp if early else held.timestamp,
        first_seen=(anomaly.first_seen or anomaly.timestamp) if early else (held.first_seen or held.timestamp),
        last_seen=(anomaly.last_seen or anomaly.timestamp) if late else (held.last_seen or held.timestamp),
        count=held.count + anomaly.count,
        title=worst.title,
        description=worst.description,
        metrics=worst.metrics,
        context=context,
        config_version=max(held.config_version, anomaly.config_version),
    )


def first_due(records: Iterable[Record], flush_ms: int, resolve_ms: int) -> int:
    """When the first of them has an update to send or is over; `NEVER` when none has."""
    due = NEVER
    for record in records:
        if record.dirty:
            due = min(due, record.sent_ms + flush_ms)
        if not record.resolved:
            due = min(due, record.touched_ms + resolve_ms)
    return due


def relates(one: Record, other: Record, window_ms: int) -> bool:
    """Whether two anomalies of a tenant belong together (see `sentinel.correlation`); symmetric."""
    gap_ms = abs(one.first_ms - other.first_ms)
    if gap_ms > window_ms:
        return False
    first, second = one.anomaly, other.anomaly
    if first.application_id == second.application_id:
        return True
    # What is compared belongs to the id, or is a set: occurrences may be folded in any order.
    entity = first.affected_entity.get("id", "") if first.affected_entity == second.affected_entity else ""
    if entity and first.affected_entity.get("type") == "user":
        return True
    traces = first.context.get("trace_ids")
    if traces and not set(traces).isdisjoint(second.context.get("trace_ids", ())):
        return True
    shared = (bool(entity) and first.affected_entity.get("type") == "model") or (bool(first.metric) and first.metric == second.metric)
    return shared and gap_ms <= TOGETHER_MS


def order(record: Record) -> tuple[int, str]:
    return record.first_ms, record.anomaly.anomaly_id


def occurrence(anomaly: Anomaly) -> int:
    """48 bits that tell one occurrence from another: its times and the event it came from."""
    events = anomaly.context.get("sample_events") or [""]
    text = f"{anomaly.timestamp}|{anomaly.last_seen}|{events[0]}"
    return int.from_bytes(blake2b(text.encode(), digest_size=6).digest())


def digest(anomaly: Anomaly) -> int:
    """48 bits of what a record says, apart from whether it is an update."""
    return int.from_bytes(blake2b(msgspec.structs.replace(anomaly, update=False).to_json(), digest_size=6).digest())
