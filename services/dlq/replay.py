"""Sends refused events to their source topic again, byte for byte."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from confluent_kafka import KafkaException, Producer

from sentinel.kafka_access import librdkafka
from sentinel.timestamps import from_rfc3339
from services.dlq.errors import DlqError
from services.dlq.records import TOPIC, DlqRecord

REPLAY_HEADER = "sentinel-replay"
"""Header of a replayed record; its value is the dlq_id, so that a second refusal can be traced to the first."""

FLUSH_TIMEOUT_S = 60.0
Produce = Callable[..., None]


def message(record: DlqRecord, *, now: bool = False) -> dict[str, Any]:
    """The record to produce: the original bytes on the source topic and partition, at the original record time or now.

    Raises DlqError when the dead letter cannot be sent again.
    """
    if record.topic in ("", TOPIC):
        raise DlqError(f"dead letter {record.dlq_id}: {record.topic!r} is not a source topic")
    try:
        timestamp = time.time_ns() // 1_000_000 if now else from_rfc3339(record.record_timestamp)
    except ValueError:
        raise DlqError(f"dead letter {record.dlq_id}: record_timestamp {record.record_timestamp!r} is no RFC 3339 time") from None
    return {
        "topic": record.topic,
        "partition": record.partition,
        "value": record.original(),
        "timestamp": timestamp,
        "headers": [(REPLAY_HEADER, record.dlq_id.encode())],
    }


def replay(bootstrap: str, records: Iterable[DlqRecord], *, now: bool = False) -> int:
    """Sends each dead letter once (by dlq_id), with acks=all; returns how many. Raises DlqError at the first that Kafka refuses."""
    producer = Producer(
        {
            **librdkafka(bootstrap),
            "acks": "all",
            "enable.idempotence": True,
            "message.timeout.ms": int(FLUSH_TIMEOUT_S * 1000),
            "message.max.bytes": 12_000_000,
            "log_level": 0,
            "error_cb": lambda error: None,
        }
    )
    failures: list[str] = []

    def acknowledged(error: Any, _message: Any) -> None:
        if error is not None:
            failures.append(error.str())

    seen: set[str] = set()
    for record in records:
        if record.dlq_id in seen:
            continue
        seen.add(record.dlq_id)
        _produce(producer, message(record, now=now) | {"on_delivery": acknowledged})
        if failures:
            break
    left = producer.flush(FLUSH_TIMEOUT_S)
    if failures or left:
        failed = len(failures) + left
        raise DlqError(f"{failed:,} of {len(seen):,} dead letters were not sent: {failures[0] if failures else 'Kafka did not answer'}")
    return len(seen)


def _produce(producer: Producer, arguments: dict[str, Any]) -> None:
    while True:
        try:
            producer.produce(**arguments)
            producer.poll(0)
            return
        except BufferError:
            producer.poll(0.2)
        except KafkaException as error:
            raise DlqError(f"Kafka refuses the record: {error.args[0].str()}") from None
