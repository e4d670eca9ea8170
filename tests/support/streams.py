"""Records into Kafka at chosen places and times, and topics read from start to end."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Producer, TopicPartition

PARTITIONS = 4
TELEMETRY = "llm-telemetry"


class Sent(NamedTuple):
    """A record to send. `timestamp_ms` is the Kafka record's own time; without a partition the key decides."""

    value: bytes | None
    timestamp_ms: int
    key: bytes | None = None
    partition: int | None = None


class Place(NamedTuple):
    partition: int
    offset: int


def produce(bootstrap: str, records: Iterable[Sent], topic: str = TELEMETRY) -> list[Place]:
    """Sends with acks=all; where each record came to lie, in the order given. Raises AssertionError when the broker refuses one."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "acks": "all",
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "message.max.bytes": 6_291_456,
            "linger.ms": 5,
            "log_level": 0,
        }
    )
    places: dict[int, Place] = {}
    refused: list[str] = []

    def taken(number: int) -> Any:
        def callback(error: Any, message: Any) -> None:
            if error is not None:
                refused.append(f"record {number}: {error.str()}")
            else:
                places[number] = Place(message.partition(), message.offset())

        return callback

    count = 0
    for number, record in enumerate(records):
        options: dict[str, Any] = {} if record.partition is None else {"partition": record.partition}
        while True:
            try:
                producer.produce(topic, record.value, record.key, timestamp=record.timestamp_ms, on_delivery=taken(number), **options)
                break
            except BufferError:
                producer.poll(0.2)
        producer.poll(0)
        count += 1
    left = producer.flush(120)
    assert not refused and not left, f"{len(refused)} records refused, {left} unsent: {refused[:3]}"
    return [places[number] for number in range(count)]


class Stored(NamedTuple):
    place: Place
    timestamp_ms: int
    key: bytes | None
    value: bytes

    def json(self) -> dict[str, Any]:
        found = json.loads(self.value)
        assert isinstance(found, dict)
        return found


def read_topic(bootstrap: str, topic: str, start: dict[int, int] | None = None) -> list[Stored]:
    """Every committed record that the topic holds now (from the given offsets on), by partition and offset; [] when it does not exist."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "system-test-reader",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "fetch.message.max.bytes": 12_582_912,
            "log_level": 0,
        }
    )
    try:
        known = consumer.list_topics(timeout=30).topics
        if topic not in known:
            return []
        waiting = set(known[topic].partitions)
        consumer.assign([TopicPartition(topic, number, (start or {}).get(number, OFFSET_BEGINNING)) for number in waiting])
        found: list[Stored] = []
        silent = 0
        while waiting:
            message = consumer.poll(1.0)
            silent = 0 if message is not None else silent + 1
            assert silent < 60, f"Kafka did not answer for 60 s while {topic} was read"
            if message is None:
                continue
            error = message.error()
            if error is None:
                place = Place(message.partition() or 0, message.offset() or 0)
                found.append(Stored(place, message.timestamp()[1], message.key(), message.value() or b""))
            elif error.code() == KafkaError._PARTITION_EOF:
                waiting.discard(message.partition())
            else:
                raise AssertionError(f"reading {topic}: {error.str()}")
        return sorted(found, key=lambda record: record.place)
    finally:
        consumer.close()


def end_offsets(bootstrap: str, topic: str) -> dict[int, int]:
    """The next offset of each partition."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "system-test-reader", "log_level": 0})
    try:
        partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
        return {number: consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=30)[1] for number in partitions}
    finally:
        consumer.close()


def committed_offsets(bootstrap: str, group: str, topic: str) -> dict[int, int]:
    """Offsets that a group has committed, by partition; a Flink job commits those of each completed checkpoint."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "log_level": 0})
    try:
        partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
        found = consumer.committed([TopicPartition(topic, number) for number in partitions], timeout=30)
        return {place.partition: place.offset for place in found if place.offset >= 0}
    finally:
        consumer.close()
