"""The bench's topics: filled once by the bulk mode of the traffic generator, with planted outliers, and read by every row."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from bench.zscore import WARM_UP
from services.traffic.bulk import bulk_events
from services.traffic.kafka_out import KafkaSender

PARTITIONS = 4
EVENT_BYTES = 900
EVENTS_PER_SECOND = 50_000
"""Of event time, not of loading: about the rate at which the job is measured, so that a pane holds what it would hold live."""
CATCH_UP_PER_SECOND = 10_000
"""Of event time in a backlog that is read several times faster than it happened: each pane holds less, and there are more of them an event."""
LEARNING_S = 70
"""Detectors judge nothing in their first minute. The first events come slowly, so that it is over before the steady window begins."""
LEARNING_SHARE = 0.175
OUTLIERS = 20
OUTLIER_FACTOR = 50.0
PULSES = 1.02
"""A filled topic may have grown to this by pulses; they lie behind all events of their partition."""
PULSES_WHILE_FILLED = 1.001
"""To this while it was filled. A topic must not be filled anew for them between two rows, which would then not read the same."""
TAIL_EVENTS = 400
TAIL_GAP_MS = 70_000
"""After the events a few more follow, later by more than a minute: they move event time past the last pane and the last minute.
Requests only: they have no latency to judge."""


class Filled(msgspec.Struct):
    """A filled topic. `events` counts the tail too; `learning`: outliers planted before every key had shown enough."""

    topic: str
    events: int
    keys: int
    planted: list[str]
    learning: list[str]
    seconds: float = 0.0
    rate: int = 0


def fill(bootstrap: str, home: Path, topic: str, events: int, keys: int, rate: int = EVENTS_PER_SECOND) -> Filled:
    """Fill `topic`, unless it holds these very events from an earlier run (and pulses behind them, `services.pulse`)."""
    manifest = home / f"topic-{topic}.json"
    if manifest.exists():
        known = msgspec.json.decode(manifest.read_bytes(), type=Filled)
        asked = events + TAIL_EVENTS
        as_asked = asked <= known.events <= asked * PULSES_WHILE_FILLED and (known.keys, known.rate) == (keys, rate)
        if as_asked and known.events <= end_offset(bootstrap, topic) <= known.events * PULSES:
            return known
    recreate(bootstrap, topic)
    every = max(2, events // OUTLIERS // 2 * 2)
    planted: list[str] = []
    learning: list[str] = []
    slow = int(events * LEARNING_SHARE)
    length_ms = LEARNING_S * 1000 + (events - slow) * 1000 // rate
    begin_ms = int(time.time() * 1000) - length_ms - TAIL_GAP_MS - 5_000
    sender = KafkaSender(bootstrap, topic, lambda s: print(f"  {topic}: {s.acked:,} of {events:,} events", file=sys.stderr))
    began = time.monotonic()
    stream = bulk_events(
        events,
        keys=keys,
        event_bytes=EVENT_BYTES,
        start_ms=begin_ms,
        rate=rate,
        outlier_every=every,
        outlier_factor=OUTLIER_FACTOR,
        slow_start=(slow, slow / LEARNING_S),
    )
    # Half of the events are responses; with twice the warm-up on the average no key is still learning.
    learned = keys * WARM_UP * 2 * 2
    for index, (ts_ms, key, value) in enumerate(stream):
        sender.send(ts_ms, key, value)
        if (index + 1) % every == 0:
            (planted if index >= learned else learning).append(json.loads(value)["event_id"])
    tail_ms = begin_ms + length_ms + TAIL_GAP_MS
    for ts_ms, key, value in bulk_events(
        TAIL_EVENTS, seed=2, keys=keys, event_bytes=EVENT_BYTES, start_ms=tail_ms, rate=rate, mix="requests"
    ):
        sender.send(ts_ms, key, value)
    sender.finish()
    filled = Filled(topic, end_offset(bootstrap, topic), keys, planted, learning, time.monotonic() - began, rate)
    manifest.write_bytes(msgspec.json.encode(filled))
    return filled


def recreate(bootstrap: str, topic: str, partitions: int = PARTITIONS) -> None:
    """An empty topic of that name, seen by clients. Raises KafkaException when the broker refuses, TimeoutError when it takes over 30 s."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    if topic in admin.list_topics(timeout=15).topics:
        admin.delete_topics([topic])[topic].result(30)
        _wait_for(admin, topic, present=False)
    admin.create_topics([NewTopic(topic, partitions, 1, config={"retention.ms": "86400000"})])[topic].result(30)
    _wait_for(admin, topic, present=True)


def delete_topics_of(bootstrap: str, group: str) -> None:
    """What an engine made for a consumer group. Raises KafkaException when the broker refuses."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    made = [topic for topic in admin.list_topics(timeout=15).topics if group in topic]
    if made:
        for done in admin.delete_topics(made).values():
            done.result(30)


def _wait_for(admin: AdminClient, topic: str, present: bool) -> None:
    deadline = time.monotonic() + 30
    while (topic in admin.list_topics(timeout=15).topics) is not present:
        if time.monotonic() > deadline:
            raise TimeoutError(f"Kafka did not {'show' if present else 'delete'} topic {topic} within 30 s")
        time.sleep(0.2)


def end_offset(bootstrap: str, topic: str) -> int:
    """Records that a topic holds (nothing was deleted yet); 0 when there is none."""
    return sum(partition.offset for partition in ends(bootstrap, topic))


def ends(bootstrap: str, topic: str) -> list[TopicPartition]:
    """End offsets of all partitions."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    known = admin.list_topics(timeout=15).topics
    if topic not in known:
        return []
    places = [TopicPartition(topic, number) for number in known[topic].partitions]
    found = admin.list_offsets({place: OffsetSpec.latest() for place in places}, request_timeout=15)
    return [TopicPartition(place.topic, place.partition, future.result().offset) for place, future in found.items()]


def start_at_end(bootstrap: str, group: str, *topics: str) -> None:
    """Commit the ends as the group's place, so that a job reads only what comes next."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "enable.auto.commit": False})
    try:
        consumer.commit(offsets=[place for topic in topics for place in ends(bootstrap, topic)], asynchronous=False)
    finally:
        consumer.close()


def committed(admin: AdminClient, group: str, topic: str) -> int:
    """Events of a topic that a consumer group has committed."""
    request = ConsumerGroupTopicPartitions(group)
    found = admin.list_consumer_group_offsets([request], request_timeout=15)[group].result()
    return sum(place.offset for place in found.topic_partitions if place.topic == topic and place.offset > 0)


def read_values(bootstrap: str, topic: str) -> list[bytes]:
    """All values of a topic, from its first record to its end."""
    places = ends(bootstrap, topic)
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": f"{topic}-reader", "enable.auto.commit": False})
    wanted = sum(place.offset for place in places)
    values: list[bytes] = []
    try:
        consumer.assign([TopicPartition(place.topic, place.partition, 0) for place in places])
        deadline = time.monotonic() + 30
        while len(values) < wanted and time.monotonic() < deadline:
            values += [message.value() or b"" for message in consumer.consume(1000, timeout=1.0) if message.error() is None]
    finally:
        consumer.close()
    return values


def values_at(bootstrap: str, topic: str, places: Iterable[tuple[int, int]]) -> list[bytes]:
    """The values at (partition, offset), in that order. Raises TimeoutError when one does not come within 30 s."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": f"{topic}-reader", "enable.auto.commit": False})
    values: list[bytes] = []
    try:
        for partition, offset in places:
            consumer.assign([TopicPartition(topic, partition, offset)])
            found = consumer.consume(1, timeout=30.0)
            if not found or found[0].error() is not None:
                raise TimeoutError(f"{topic}: nothing at partition {partition}, offset {offset} within 30 s")
            values.append(found[0].value() or b"")
    finally:
        consumer.close()
    return values
