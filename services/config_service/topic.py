"""Write a configuration version to the compacted topic that every job and the dispatcher follow."""

from __future__ import annotations

import json
from typing import Any, Final

from confluent_kafka import KafkaException, Producer

from sentinel.kafka_access import librdkafka

TOPIC: Final = "sentinel-config"
KEY: Final = b"global"
TIMEOUT_S: Final = 20.0


class TopicError(Exception):
    """Kafka did not acknowledge the record."""


def record_value(version: int, config: dict[str, Any]) -> bytes:
    """The record's value: `{"version": N, "config": {…effective…}}`."""
    return json.dumps({"version": version, "config": config}, ensure_ascii=False, separators=(",", ":")).encode()


def publish_snapshot(bootstrap: str, version: int, config: dict[str, Any]) -> None:
    """Write the version and wait until all replicas have it (`acks=all`).

    Raises:
        TopicError: it was not acknowledged within 20 seconds.
    """
    outcome: list[Any] = []
    settings: dict[str, Any] = {
        **librdkafka(bootstrap),
        "acks": "all",
        "enable.idempotence": True,
        "delivery.timeout.ms": int(TIMEOUT_S * 1000),
        "message.max.bytes": 6_000_000,
        "log_level": 0,
    }
    try:
        producer = Producer(settings)
        producer.produce(TOPIC, record_value(version, config), KEY, on_delivery=lambda error, _: outcome.append(error))
        producer.flush(TIMEOUT_S + 2)
    except (KafkaException, BufferError) as error:
        raise TopicError(f"Kafka at {bootstrap}: {error}") from None
    if not outcome or outcome[0] is not None:
        reason = outcome[0].str() if outcome else f"no acknowledgement within {TIMEOUT_S:.0f} s"
        raise TopicError(f"Kafka at {bootstrap} did not take the configuration: {reason}")
