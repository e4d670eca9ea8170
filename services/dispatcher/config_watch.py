"""The configuration in force, from the compacted topic `sentinel-config`: read from the start, then watched."""

from __future__ import annotations

import threading
import time
from typing import Any

import orjson
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, TopicPartition

from sentinel.kafka_access import librdkafka
from services.dispatcher.events import Sparingly, log_event
from services.dlq.errors import DlqError

TOPIC = "sentinel-config"
KEY = b"global"
CONFIG_WAIT_S = 15.0


class ConfigWatch:
    """Follows the topic in a thread. `current()` never blocks; before the first snapshot it is version 0, empty.
    `quiet` writes no events, for commands that people read."""

    def __init__(self, bootstrap: str, *, quiet: bool = False) -> None:
        self._log = (lambda event, **fields: None) if quiet else log_event
        self._trouble = (lambda error: None) if quiet else Sparingly("config_topic")
        self._consumer = Consumer(
            {
                **librdkafka(bootstrap),
                "group.id": "sentinel-dispatcher-config",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "reconnect.backoff.max.ms": 1_000,
                "isolation.level": "read_committed",
                "log_level": 0,
                "error_cb": lambda error: None,
            }
        )
        self._current: tuple[int, dict[str, Any]] = (0, {})
        self._at_end = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="config-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join(5)

    def current(self) -> tuple[int, dict[str, Any]]:
        """Version and effective configuration."""
        return self._current

    def wait(self, timeout_s: float) -> bool:
        """Whether the topic was read to its end within the time, so that `current()` is the newest snapshot."""
        return self._at_end.wait(timeout_s)

    def _follow(self) -> None:
        # Assigned, not subscribed: every dispatcher reads it all, and nothing is committed.
        self._consumer.assign([TopicPartition(TOPIC, 0, OFFSET_BEGINNING)])
        try:
            while not self._stop.is_set():
                message = self._consumer.poll(0.5)
                if message is not None:
                    self._take(message)
        finally:
            self._consumer.close()

    def _take(self, message: Message) -> None:
        error = message.error()
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF:
                self._at_end.set()
            else:
                self._trouble(error)
                time.sleep(0.5)
            return
        value = message.value()
        if message.key() != KEY or value is None:
            return
        try:
            record = orjson.loads(value)
            self._current = (int(record["version"]), dict(record["config"]))
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as reason:
            # It was validated before it was published: something else writes to the topic. The old one stays in force.
            self._log("config_refused", offset=message.offset(), error=f"{type(reason).__name__}: expected {{version, config}}")
            return
        self._log("config", version=self._current[0])


def config_in_force(bootstrap: str) -> tuple[int, dict[str, Any]]:
    """Version and configuration that are in force now, for commands. Raises DlqError when Kafka does not say."""
    watch = ConfigWatch(bootstrap, quiet=True)
    watch.start()
    try:
        if not watch.wait(CONFIG_WAIT_S):
            raise DlqError(f"the configuration was not read from Kafka within {CONFIG_WAIT_S:g} s")
        return watch.current()
    finally:
        watch.close()
