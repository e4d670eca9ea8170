"""Deterministic identifiers: every id is a function of the data alone, so that a replay or another worker makes the same one."""

from __future__ import annotations

import uuid

NAMESPACE = uuid.UUID("6f1f3b1e-5c0a-5d0e-9a55-5e27ab1e0001")


def stable_id(*parts: object) -> str:
    """UUIDv5 of the parts joined by `|` in the product's namespace."""
    return str(uuid.uuid5(NAMESPACE, "|".join(map(str, parts))))


def record_event_id(topic: str, partition: int, offset: int) -> str:
    """The id of an event that its producer gave none: a function of its place in Kafka."""
    return stable_id("event", topic, partition, offset)
