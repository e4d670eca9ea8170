"""The writer against a real broker that is killed in mid-stream: nothing lost, nothing twice, nothing overtaken within a key."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from services.stack.errors import StackError
from services.stack.jars import cache_dir, fetch_all, link_class_path, read_lock
from services.stack.java import java_home
from services.stack.kafka import Kafka
from services.stack.paths import Layout
from services.stack.service import Context
from services.traffic.bulk import bulk_events
from services.traffic.kafka_out import KafkaSender, SendError
from services.traffic.rebase import now_ms
from services.traffic.replay import run_bulk

pytestmark = [pytest.mark.recovery, pytest.mark.timeout(240)]
COUNT, RATE, PARTITIONS = 40_000, 4000.0, 4


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Broker:
    """One Kafka of its own, without the rest of the stack."""

    def __init__(self, home: Path) -> None:
        layout = Layout(home)
        layout.create()
        jars = read_lock()["kafka"]
        fetch_all(jars, cache_dir(), None)
        link_class_path(jars, cache_dir(), layout.cache / "kafka")
        self.service = Kafka(Context(layout, {"kafka": free_port(), "kafka-controller": free_port()}, java_home()))
        self.service.prepare()
        self.bootstrap = f"127.0.0.1:{self.service.port}"
        self.process = self._spawn()
        self.wait()

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self.service.output_file.open("ab") as output:
            return subprocess.Popen(self.service.command(), env=self.service.environment(), stdout=output, stderr=output)

    def wait(self) -> None:
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            try:
                if self.service.healthy():
                    return
            except Exception:
                time.sleep(0.3)
        raise AssertionError(f"Kafka did not become healthy: {self.service.output_file.read_text()[-500:]}")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def restart(self) -> None:
        self.process = self._spawn()
        self.wait()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    try:
        started = Broker(tmp_path_factory.mktemp("outage"))
    except StackError as error:
        pytest.skip(f"the jars of Kafka cannot be had here: {error}")
    yield started
    started.kill()


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
