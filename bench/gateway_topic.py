"""What the gateway wrote: the telemetry topic read from its beginning, by event id."""

from __future__ import annotations

import time
from typing import NamedTuple

import orjson
from confluent_kafka import Consumer, TopicPartition

from bench.topic import ends

TOPIC = "llm-telemetry"
READ_TIMEOUT_S = 120.0


class Stored(NamedTuple):
    """What the topic holds: records, distinct event ids, and keys whose events are out of order once repeats are left out."""

    records: int
    event_ids: set[str]
    disordered_keys: list[str]


def stored(bootstrap: str) -> Stored:
    """The topic from its beginning to its end."""
    places = ends(bootstrap, TOPIC)
    wanted, records = sum(place.offset for place in places), 0
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "bench-reader", "enable.auto.commit": False})
    event_ids: set[str] = set()
    newest: dict[bytes, int] = {}
    disordered: set[str] = set()
    try:
        consumer.assign([TopicPartition(place.topic, place.partition, 0) for place in places])
        deadline = time.monotonic() + READ_TIMEOUT_S
        while records < wanted and time.monotonic() < deadline:
            for message in consumer.consume(5_000, timeout=1.0):
                if message.error() is not None:
                    continue
                records += 1
                event_id, key = str(orjson.loads(message.value())["event_id"]), message.key()
                if event_id in event_ids:
                    continue
                event_ids.add(event_id)
                number = int(event_id[-12:], 16)
                if number < newest.get(key, -1):
                    disordered.add(key.decode())
                newest[key] = number
    finally:
        consumer.close()
    if records < wanted:
        raise RuntimeError(f"read {records:,} of {wanted:,} records of {TOPIC} in {READ_TIMEOUT_S:g} s")
    return Stored(records, event_ids, sorted(disordered))
