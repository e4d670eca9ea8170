"""The writer against a real broker that is killed in mid-stream: nothing lost, nothing twice, nothing overtaken within a key."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator

import orjson
import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from services.traffic.bulk import bulk_events
from services.traffic.kafka_out import KafkaSender, SendError
from services.traffic.rebase import now_ms
from services.traffic.replay import run_bulk
from tests.support.kafka import Broker, running

pytestmark = [pytest.mark.recovery, pytest.mark.timeout(240)]
COUNT, RATE, PARTITIONS = 40_000, 4000.0, 4


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with running(Broker, tmp_path_factory.mktemp("outage")) as started:
        yield started


def test_a_broker_killed_in_mid_stream_loses_repeats_and_reorders_nothing(broker: Broker) -> None:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    for future in admin.create_topics([NewTopic("outage", PARTITIONS, 1)]).values():
        future.result(30)
    sender = KafkaSender(broker.bootstrap, "outage")
    records = list(bulk_events(COUNT, start_ms=now_ms(), rate=RATE, keys=100))
    result: list[int] = []
    run = threading.Thread(target=lambda: result.append(run_bulk(records, sender, paced_by_time=True).acked), daemon=True)
    run.start()
    time.sleep(3)
    broker.kill()
    acked_when_killed = sender.acked
    time.sleep(4)
    assert sender.acked - acked_when_killed <= 1000, "nothing is acknowledged while no broker is there"
    broker.restart()
    run.join(120)
    assert result == [COUNT]
    assert 0 < acked_when_killed < COUNT, "the kill came in mid-stream"
    got = read_all(broker.bootstrap)
    assert sum(len(events) for events in got.values()) == COUNT
    sent = defaultdict(list)
    for ts_ms, key, value in records:
        sent[key].append((ts_ms, orjson.loads(value)["event_id"]))
    assert got == sent


def test_a_missing_topic_and_a_missing_broker_are_said_at_once(broker: Broker) -> None:
    with pytest.raises(SendError, match="has no topic 'nowhere'; expected one of"):
        KafkaSender(broker.bootstrap, "nowhere")


def read_all(bootstrap: str) -> dict[bytes, list[tuple[int, str]]]:
    """Key → (record time, event id) in the order of offsets; also checks that a key stays on one partition."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "check", "auto.offset.reset": "earliest", "enable.auto.commit": False})
    parts = [TopicPartition("outage", number, 0) for number in range(PARTITIONS)]
    ends = {part.partition: consumer.get_watermark_offsets(part, timeout=20)[1] for part in parts}
    consumer.assign(parts)
    found: dict[bytes, list[tuple[int, str]]] = defaultdict(list)
    home: dict[bytes, int] = {}
    left = sum(ends.values())
    deadline = time.monotonic() + 60
    while left > 0 and time.monotonic() < deadline:
        for message in consumer.consume(2000, 1.0):
            key = message.key()
            assert isinstance(key, bytes)
            assert home.setdefault(key, message.partition() or 0) == (message.partition() or 0)
            found[key].append((message.timestamp()[1], orjson.loads(message.value() or b"")["event_id"]))
            left -= 1
    consumer.close()
    return found
