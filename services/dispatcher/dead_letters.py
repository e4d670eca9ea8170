"""The dead-letter topic of notifications: writing it, reading it, and sending letters back."""

from __future__ import annotations

import asyncio
import base64
import time
from typing import Any

import orjson
from confluent_kafka import KafkaException, Producer

from sentinel.kafka_access import librdkafka
from sentinel.timestamps import to_rfc3339
from services.dispatcher.delivery import DeadLetter
from services.dispatcher.events import log_event, plain
from services.dlq.errors import DlqError

TOPIC = "notify-dlq"
REPLAY_HEADER = "sentinel-replay"
"""Marks a record that comes back: the ledger's `dead` does not hold it up."""


def letter_value(letter: DeadLetter, failed_ms: int) -> bytes:
    """The record's JSON: whose notification, why it died, where it lay, and its original bytes."""
    return orjson.dumps(
        {
            "notification_id": letter.notification_id,
            "receiver": letter.receiver,
            "title": letter.title,
            "reason": letter.reason,
            "attempts": letter.attempts,
            "failed_at": to_rfc3339(failed_ms),
            "topic": letter.record.topic,
            "partition": letter.record.partition,
            "offset": letter.record.offset,
            "original_base64": base64.b64encode(letter.record.value).decode(),
            "original_bytes": len(letter.record.value),
        }
    )


class DeadLetterWriter:
    """Writes dead letters with `acks=all`. `poll()` must be called regularly on the loop's thread: it serves the acknowledgements."""

    def __init__(self, bootstrap: str) -> None:
        # No time limit of its own: while Kafka is away the letter waits, and with it the receiver's queue.
        self._producer = Producer(
            {
                **librdkafka(bootstrap),
                "acks": "all",
                "enable.idempotence": True,
                "message.timeout.ms": 0,
                "message.max.bytes": 12_000_000,
                "linger.ms": 0,
                "reconnect.backoff.max.ms": 1_000,
                "log_level": 0,
                "error_cb": lambda error: None,
            }
        )

    def poll(self) -> None:
        self._producer.poll(0)

    async def bury(self, letter: DeadLetter) -> None:
        """Returns when the letter is acknowledged. Raises KafkaException when Kafka refuses it."""
        acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def settle(error: Any, _message: Any) -> None:
            if acknowledged.done():
                return
            if error is None:
                acknowledged.set_result(None)
            else:
                log_event("dead_letter_refused", error=plain(str(error)))
                acknowledged.set_exception(KafkaException(error))

        self._producer.produce(
            TOPIC, key=letter.notification_id.encode(), value=letter_value(letter, time.time_ns() // 1_000_000), on_delivery=settle
        )
        await acknowledged


def send_back(bootstrap: str, records: list[tuple[str, int, bytes]]) -> None:
    """Puts records (topic, partition, value) on their topics again, marked as a replay. Raises DlqError when Kafka does not take them."""
    producer = Producer(
        {**librdkafka(bootstrap), "acks": "all", "message.timeout.ms": 30_000, "log_level": 0, "error_cb": lambda error: None}
    )
    failures: list[str] = []
    for topic, partition, value in records:
        producer.produce(
            topic,
            partition=partition,
            value=value,
            headers=[(REPLAY_HEADER, b"1")],
            on_delivery=lambda error, _message: failures.append(error.str()) if error is not None else None,
        )
    left = producer.flush(30)
    if failures or left:
        raise DlqError(
            f"{len(failures) + left:,} of {len(records):,} were not handed over: {failures[0] if failures else 'Kafka did not answer'}"
        )
