"""Reads a dead-letter topic from its start to its present end, without a consumer group."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from sentinel.kafka_access import librdkafka
from services.dlq.errors import DlqError
from services.kafka_refusal import LoginRefusal

CONNECT_TIMEOUT_S = 10.0
SILENCE_LIMIT_S = 30.0


class Stored(NamedTuple):
    """One record as it lies on the topic."""

    partition: int
    offset: int
    value: bytes


def scan(bootstrap: str, topic: str) -> Iterator[Stored]:
    """Every record that the topic holds now, partition by partition in order of offsets. Raises DlqError."""
    refusal = LoginRefusal()
    consumer = _consumer(bootstrap, refusal)
    try:
        waiting = set(_partitions(consumer, topic, bootstrap, refusal))
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in waiting])
        heard = time.monotonic()
        while waiting:
            message = consumer.poll(0.5)
            if message is None:
                if time.monotonic() - heard > SILENCE_LIMIT_S:
                    raise DlqError(f"Kafka at {bootstrap} did not answer for {SILENCE_LIMIT_S:g} s while {topic} was read")
                continue
            heard = time.monotonic()
            error, partition = message.error(), message.partition()
            if error is None and partition in waiting:
                yield Stored(partition or 0, message.offset() or 0, message.value() or b"")
            elif error is not None and error.code() == KafkaError._PARTITION_EOF:
                # A partition is done at its first end: what comes later (a replayed record refused again) is not for this run.
                waiting.discard(partition)
            elif error is not None:
                raise DlqError(f"reading {topic}: {error.str()}")
    finally:
        consumer.close()


def fetch(bootstrap: str, topic: str, partition: int, offset: int) -> Stored:
    """One record. Raises DlqError when the topic does not hold it (any more)."""
    refusal = LoginRefusal()
    consumer = _consumer(bootstrap, refusal)
    try:
        if partition not in _partitions(consumer, topic, bootstrap, refusal):
            raise DlqError(f"{topic} has no partition {partition}")
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=CONNECT_TIMEOUT_S)
        if not low <= offset < high:
            raise DlqError(
                f"{topic} partition {partition} has no offset {offset}: it holds " + (f"{low} to {high - 1}" if low < high else "nothing")
            )
        consumer.assign([TopicPartition(topic, partition, offset)])
        message = consumer.poll(SILENCE_LIMIT_S)
        if message is None or message.error() is not None or message.offset() != offset:
            raise DlqError(f"{topic} partition {partition} has no record at offset {offset}")
        return Stored(partition, offset, message.value() or b"")
    except KafkaException as error:
        raise DlqError(f"reading {topic}: {error.args[0].str()}") from None
    finally:
        consumer.close()


def _consumer(bootstrap: str, refusal: LoginRefusal) -> Consumer:
    return Consumer(
        {
            **librdkafka(bootstrap),
            "group.id": "sentinel-dlq-reader",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "fetch.message.max.bytes": 12_000_000,
            "log_level": 0,
            "error_cb": refusal,
        }
    )


def _partitions(consumer: Consumer, topic: str, bootstrap: str, refusal: LoginRefusal) -> list[int]:
    try:
        found = consumer.list_topics(topic, timeout=CONNECT_TIMEOUT_S).topics[topic]
    except KafkaException:
        consumer.poll(0)
        raise DlqError(f"Kafka at {bootstrap} cannot be reached{refusal.text}") from None
    if found.error is not None:
        raise DlqError(f"topic {topic}: {found.error.str()}")
    return sorted(found.partitions)
