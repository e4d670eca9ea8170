"""Writes traffic to Kafka: acknowledged by all replicas, in order per key, waiting through broker outages of any length."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from sentinel.kafka_access import librdkafka
from services.kafka_refusal import LoginRefusal

CONNECT_TIMEOUT_S = 15.0
MAX_RECORD_BYTES = 6 * 1024 * 1024
PROGRESS_EVERY_S = 2.0


class SendError(RuntimeError):
    """Kafka cannot be written to at all; the message says which broker or topic and what to do."""


class KafkaSender:
    """One idempotent producer for one topic. Raises SendError at once when the broker or the topic is not there.

    Later outages are waited for: no record is given up (`delivery.timeout.ms` without limit), none overtakes another of its partition.
    """

    def __init__(self, bootstrap: str, topic: str, progress: Callable[[KafkaSender], None] | None = None) -> None:
        self.topic = topic
        self.sent = 0
        self.failed = 0
        self.first_failure: str | None = None
        self.outage = False
        self._progress = progress
        self._next_progress = time.monotonic() + PROGRESS_EVERY_S
        self._fatal: str | None = None
        self._refusal = LoginRefusal()
        self._producer = Producer(
            {
                **librdkafka(bootstrap),
                "acks": "all",
                "enable.idempotence": True,
                "compression.type": "lz4",
                "linger.ms": 5,
                "partitioner": "murmur2_random",  # as Java and kafka-python place keys
                "message.max.bytes": MAX_RECORD_BYTES,
                "delivery.timeout.ms": 0,  # 0 = without limit: a broker that is down is waited for
                "queue.buffering.max.kbytes": 131_072,
                "queue.buffering.max.messages": 500_000,
                "delivery.report.only.error": True,
                "on_delivery": self._on_delivery,
                "error_cb": self._on_error,
                "log_level": 2,  # outages are reported by the progress line
            }
        )
        try:
            known = self._producer.list_topics(timeout=CONNECT_TIMEOUT_S).topics
        except KafkaException as error:
            self._producer.poll(0)
            hint = self._refusal.text or "; is the stack running (`sentinel up`)?"
            raise SendError(f"no Kafka broker answers at {bootstrap} within {CONNECT_TIMEOUT_S:.0f} s{hint}") from error
        if topic not in known:
            raise SendError(f"Kafka at {bootstrap} has no topic {topic!r}; expected one of: {', '.join(sorted(known)) or 'none'}")

    @property
    def acked(self) -> int:
        """Records that the broker has acknowledged."""
        return self.sent - self.failed - len(self._producer)

    def send(self, ts_ms: int, key: bytes | None, value: bytes) -> None:
        """Hand over one record with its time; blocks while the buffer is full."""
        while True:
            try:
                self._producer.produce(self.topic, value, key, timestamp=ts_ms)
            except BufferError:
                self._producer.poll(0.2)
                self._tick()
                continue
            except KafkaException as error:
                self._refuse(error, len(value))
                return
            break
        self.sent += 1
        if not self.sent & 0xFF:
            self._producer.poll(0)
            self._tick()

    def wait(self, seconds: float) -> None:
        """Sleep while deliveries and progress go on; for pacing."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if left > 0.05:
                self._producer.poll(0)
                self._tick()
            time.sleep(min(left, 0.5))

    def finish(self, timeout_s: float | None = None) -> None:
        """Wait until everything is acknowledged (at most `timeout_s`). Raises SendError when the producer broke down for good."""
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while self._producer.flush(0.5) > 0 and (until is None or time.monotonic() < until):
            self._tick()
        if self._fatal is not None:
            raise SendError(self._fatal)

    def _tick(self) -> None:
        if self._fatal is not None:
            raise SendError(self._fatal)
        now = time.monotonic()
        if now >= self._next_progress:
            self._next_progress = now + PROGRESS_EVERY_S
            if self._progress is not None:
                self._progress(self)

    def _refuse(self, error: KafkaException, size: int) -> None:
        cause: Any = error.args[0]
        if cause.code() != KafkaError.MSG_SIZE_TOO_LARGE:
            raise SendError(f"Kafka topic {self.topic}: {cause.str()}") from error
        self.sent += 1
        self._failed(f"a record of {size:,} bytes exceeds the limit of {MAX_RECORD_BYTES:,} bytes")

    def _failed(self, reason: str) -> None:
        self.failed += 1
        if self.first_failure is None:
            self.first_failure = reason

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failed(f"the broker refused a record of {len(message.value() or b''):,} bytes: {error.str()}")

    def _on_error(self, error: KafkaError) -> None:
        self._refusal(error)
        if error.fatal():
            self._fatal = f"Kafka producer for topic {self.topic} broke down: {error.str()}"
        self.outage = error.code() == KafkaError._ALL_BROKERS_DOWN


class ProgressLine:
    """Progress on stderr: one line rewritten on a terminal, one line at most every 10 s elsewhere."""

    def __init__(self) -> None:
        self._begin = time.monotonic()
        self._tty = sys.stderr.isatty()
        self._last_print = self._begin
        self._last_acked = 0
        self._last_acked_at = self._begin
        self._shown = False

    def __call__(self, sender: KafkaSender) -> None:
        now = time.monotonic()
        if not self._tty and now - self._last_print < 10.0:
            return
        acked = sender.acked
        rate = (acked - self._last_acked) / max(now - self._last_acked_at, 1e-9)
        stalled = acked == self._last_acked and sender.sent > acked
        self._last_acked, self._last_acked_at, self._last_print, self._shown = acked, now, now, True
        note = "  waiting for the broker" if stalled or (sender.outage and acked < sender.sent) else ""
        text = f"sent {sender.sent:,}  acked {acked:,}  {rate:,.0f}/s{note}"
        sys.stderr.write(f"\r\x1b[2K{text}" if self._tty else text + "\n")
        sys.stderr.flush()

    def close(self) -> None:
        """End the rewritten line."""
        if self._tty and self._shown:
            sys.stderr.write("\n")
