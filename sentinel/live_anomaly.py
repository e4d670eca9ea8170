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
    silence: str = ""
    """Id of the silence that covers its alerts"""
    asked: list[dict[str, Any]] = []
    """What people asked for, as it stands in `actions_taken` behind the orders to Shield"""
    shield_orders: int = 0


def new_record(anomaly: Anomaly, first_ms: int) -> Record:
    """The record of an id that is new."""
    last_ms = from_rfc3339(anomaly.last_seen or anomaly.timestamp)
    return Record(anomaly, first_ms, last_ms, anomaly.score, anomaly.severity, {occurrence(anomaly): None})


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
