"""The newest records of `llm-anomalies`, for those who follow them: read from the end, by a thread, nothing committed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaException, TopicPartition

from services.dispatcher.events import Sparingly

TOPIC = "llm-anomalies"
_LOOK_EVERY_S = 30.0
_RETRY_S = 2.0


class AnomalyTail:
    """Calls `take` with each record's value, in a thread of its own. `kafka` are librdkafka settings with `bootstrap.servers`."""

    def __init__(self, kafka: dict[str, Any], take: Callable[[bytes], None], topic: str = TOPIC) -> None:
        self._settings = {
            **kafka,
            "group.id": "sentinel-sidecar-link",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "reconnect.backoff.max.ms": 1_000,
            "log_level": 0,
            "error_cb": lambda error: None,
        }
        self._take, self._topic = take, topic
        self._trouble = Sparingly("anomaly_topic")
        self._stop = threading.Event()
        self.reading = threading.Event()
        """Set when it stands at the end of the topic: what is written from then on is seen."""
        self._thread = threading.Thread(target=self._follow, name="anomaly-tail", daemon=True)

    def start(self) -> None:
        """Reads from now on."""
        self._thread.start()

    def close(self) -> None:
        """Ends the thread."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(5)

    def _follow(self) -> None:
        consumer = Consumer(self._settings)
        known: set[int] = set()
        look_at = 0.0
        try:
            while not self._stop.is_set():
                if time.monotonic() >= look_at:
                    look_at = time.monotonic() + (_LOOK_EVERY_S if self._look(consumer, known) else _RETRY_S)
                message = consumer.poll(0.2)
                if message is None:
                    continue
                if message.error() is not None:
                    self._trouble(message.error())
                elif (value := message.value()) is not None:
                    self._take(value)
        finally:
            consumer.close()

    def _look(self, consumer: Consumer, known: set[int]) -> bool:
        """Takes partitions on: the first ones at their end (what is there was found before anybody asked), later ones from their beginning."""
        try:
            partitions = set(consumer.list_topics(self._topic, timeout=5).topics[self._topic].partitions)
            places = []
            for number in sorted(partitions - known):
                offset = OFFSET_BEGINNING
                if not known:
                    # As a number: "the end" would be looked up at the first fetch, and what is written until then would be passed over.
                    offset = consumer.get_watermark_offsets(TopicPartition(self._topic, number), timeout=5)[1]
                places.append(TopicPartition(self._topic, number, OFFSET_END if offset is None else offset))
        except KafkaException as error:
            self._trouble(error.args[0])
            return False
        if not partitions:
            return False
        if places:
            consumer.incremental_assign(places)
            known |= partitions
            self.reading.set()
        return True
