"""The published configuration inside a Python worker.

A vectorised function has no broadcast input, so its worker follows the compacted topic `sentinel-config` itself: one background thread a process,
however many functions run in it.
"""

from __future__ import annotations

import logging
import threading
import time

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from sentinel.config.runtime import RuntimeConfig
from sentinel.kafka_access import KafkaAccess, KafkaAccessError

CONFIG_TOPIC = "sentinel-config"
_POLL_MS = 200
_RETRY_SECONDS = 1.0
_log = logging.getLogger(__name__)


class ConfigWatch:
    """The newest configuration version seen; starts from the snapshot that the job was submitted with."""

    def __init__(self, kafka: KafkaAccess, snapshot: bytes) -> None:
        self._kafka = kafka
        self._current = RuntimeConfig.from_record(snapshot)
        self._caught_up = threading.Event()
        threading.Thread(target=self._follow, name="sentinel-config-watch", daemon=True).start()
        # After a restore the snapshot may be old: wait a little for what was published since. A broker that is away must not hold the start for ever.
        self._caught_up.wait(timeout=5)

    @property
    def current(self) -> RuntimeConfig:
        return self._current

    def _follow(self) -> None:
        while True:
            try:
                self._consume()
            except (KafkaError, KafkaAccessError) as error:
                _log.warning("configuration topic %s not readable at %s: %s; trying again", CONFIG_TOPIC, self._kafka.bootstrap, error)
                time.sleep(_RETRY_SECONDS)

    def _consume(self) -> None:
        consumer = KafkaConsumer(**self._kafka.kafka_python(), enable_auto_commit=False, group_id=None)
        try:
            partition = TopicPartition(CONFIG_TOPIC, 0)
            consumer.assign([partition])
            consumer.seek_to_beginning(partition)
            end = consumer.end_offsets([partition])[partition]
            while True:
                for records in consumer.poll(timeout_ms=_POLL_MS).values():
                    for record in records:
                        self._take(record.value)
                if consumer.position(partition) >= end:
                    self._caught_up.set()
        finally:
            consumer.close()

    def _take(self, value: bytes | None) -> None:
        if value is None:
            return
        try:
            config = RuntimeConfig.from_record(value)
        except (KeyError, ValueError) as error:
            _log.error("a record on %s is not a configuration (%s); version %d stays in force", CONFIG_TOPIC, error, self._current.version)
            return
        if config.version > self._current.version:
            _log.info("configuration version %d in force (was %d)", config.version, self._current.version)
            self._current = config


_watches: dict[KafkaAccess, ConfigWatch] = {}
_lock = threading.Lock()


def watch(kafka: KafkaAccess, snapshot: bytes) -> ConfigWatch:
    """The watch of this process for a Kafka cluster, started at the first call."""
    with _lock:
        if kafka not in _watches:
            _watches[kafka] = ConfigWatch(kafka, snapshot)
        return _watches[kafka]


def read_snapshot(kafka: KafkaAccess, timeout_s: float = 20.0) -> bytes:
    """The newest record on the configuration topic, as a job takes it along when it is submitted.

    Raises LookupError when nothing was published yet.
    """
    consumer = KafkaConsumer(**kafka.kafka_python(), enable_auto_commit=False, group_id=None)
    try:
        partition = TopicPartition(CONFIG_TOPIC, 0)
        consumer.assign([partition])
        consumer.seek_to_beginning(partition)
        end = consumer.end_offsets([partition])[partition]
        newest: bytes | None = None
        deadline = time.monotonic() + timeout_s
        while consumer.position(partition) < end and time.monotonic() < deadline:
            for records in consumer.poll(timeout_ms=_POLL_MS).values():
                newest = next((r.value for r in reversed(records) if r.value is not None), newest)
        if newest is None:
            raise LookupError(
                f"no configuration on topic {CONFIG_TOPIC} at {kafka.bootstrap}: publish one first with `sentinel config apply FILE`"
            )
        return newest
    finally:
        consumer.close()
