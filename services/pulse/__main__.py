"""`python -m services.pulse [--bootstrap HOST:PORT]`."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
import time
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from sentinel.events.model import PULSE
from sentinel.kafka_access import librdkafka
from services.cli.connection import NoAddressError, kafka_bootstrap
from services.pulse.clock import Partition, PulseClock, following

TELEMETRY_TOPICS = ("llm-telemetry", "llm-metrics")
"""What producers write to. `llm-events` gets its pulses through the ingestion job, behind the events that they follow."""

_PULSE_MS = 100
"""Event time between pulses beside busy partitions, where a quiet one holds every pane back until its next pulse."""
_ALL_QUIET_MS = 1_000
"""Event time between pulses when all are quiet."""
_LOOK_MS = 500
"""When the partitions are looked at, in each second of event time: far from its end, where panes wait for the pulse."""
_RETRY_S = 2.0
_TIMEOUT_S = 10.0
_LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
_NEWEST: OffsetSpec = OffsetSpec.max_timestamp()  # type: ignore[no-untyped-call]


def main() -> int:
    """Runs until SIGTERM or SIGINT; exit code 1 with one sentence when it does not know where Kafka is."""
    parser = argparse.ArgumentParser(prog="python -m services.pulse", description="Keep event time moving while no telemetry arrives.")
    parser.add_argument("--bootstrap", help="Kafka; default: SENTINEL_KAFKA_BOOTSTRAP, else the embedded stack")
    try:
        bootstrap = kafka_bootstrap(parser.parse_args().bootstrap)
    except NoAddressError as error:
        print(error, file=sys.stderr)
        return 1
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    clock = PulseClock()
    while not stop.is_set():
        try:
            _run(bootstrap, clock, stop)
        except KafkaException as error:
            _log("kafka not reachable, trying again", error=str(error))
            stop.wait(_RETRY_S)
    return 0


def _run(bootstrap: str, clock: PulseClock, stop: threading.Event) -> None:
    admin = AdminClient(librdkafka(bootstrap))
    producer = Producer({**librdkafka(bootstrap), "acks": "all", "linger.ms": 0})
    pulsing = False
    while not stop.is_set():
        known = admin.list_topics(timeout=_TIMEOUT_S).topics
        partitions = [TopicPartition(topic, number) for topic in TELEMETRY_TOPICS if topic in known for number in known[topic].partitions]
        # What is newest now, or became so while the question was on its way, was written by this time.
        asked_s = time.time()
        ends = {place: found.offset for place, found in _offsets(admin, partitions, _LATEST).items()}
        newest_ms = max((found.timestamp for found in _offsets(admin, partitions, _NEWEST).values()), default=-1)
        due = clock.observe(ends, newest_ms, asked_s)
        step_ms = _PULSE_MS if len(due) < len(partitions) else _ALL_QUIET_MS
        began_ms = clock.event_ms(time.time())
        look_again_ms = following(began_ms, 1_000, _LOOK_MS)
        # A clock that was set back would otherwise be waited for.
        while not stop.is_set() and began_ms <= (now_ms := clock.event_ms(time.time())):
            next_ms = following(now_ms, step_ms)
            if next_ms >= look_again_ms:
                break
            stop.wait(clock.seconds_until(next_ms, time.time()))
            event_ms = clock.event_ms(time.time())
            for topic, number in due:
                producer.produce(topic, partition=number, value=PULSE, timestamp=event_ms, on_delivery=partial(_note, clock))
            producer.flush(_TIMEOUT_S)
        stop.wait(clock.seconds_until(look_again_ms, time.time()))
        if pulsing != (len(due) == len(partitions)):
            pulsing = not pulsing
            _log("all telemetry is quiet, pulses carry event time" if pulsing else "telemetry is back")


def _note(clock: PulseClock, error: KafkaError | None, message: Message) -> None:
    if error is None:
        clock.written((str(message.topic()), int(message.partition() or 0)), int(message.offset() or 0))


def _offsets(admin: AdminClient, partitions: list[TopicPartition], which: OffsetSpec) -> dict[Partition, Any]:
    futures = admin.list_offsets(dict.fromkeys(partitions, which), request_timeout=_TIMEOUT_S)
    return {(partition.topic, partition.partition): future.result() for partition, future in futures.items()}


def _log(message: str, **fields: str) -> None:
    print(json.dumps({"service": "pulse", "msg": message, **fields}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
