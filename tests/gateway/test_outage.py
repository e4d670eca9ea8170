"""Kafka killed and the gateway killed -9 under load: every acknowledged event is in Kafka, once after dedup by event id, in order within its key."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.doors import event, lines
from tests.support.gateways import GatewayProcess
from tests.support.kafka import Broker, running
from tests.support.streams import read_topic
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.recovery, pytest.mark.timeout(240)]
SENDERS, BATCH, PAUSE_S = 4, 10, 0.05


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[Broker]:
    with running(Broker, tmp_path / "kafka") as started:
        started.topic("llm-telemetry")
        yield started


class Load:
    """Senders that send each batch until it is acknowledged, one application a sender."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/api/v1/telemetry/events"
        self._stop = threading.Event()
        self.acknowledged: list[list[str]] = [[] for _ in range(SENDERS)]
        self.tries_again = 0
        self._threads = [threading.Thread(target=self._send, args=(number,), daemon=True) for number in range(SENDERS)]
        for thread in self._threads:
            thread.start()

    def finish(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def _send(self, number: int) -> None:
        with httpx.Client(timeout=30) as client:
            while not self._stop.is_set():
                batch = [event(application_id=f"app-{number}") for _ in range(BATCH)]
                body = lines(batch)
                while not self._taken(client, body):
                    self.tries_again += 1
                    time.sleep(0.1)
                self.acknowledged[number] += [one["event_id"] for one in batch]
                time.sleep(PAUSE_S)

    def _taken(self, client: httpx.Client, body: bytes) -> bool:
        try:
            return client.post(self._url, content=body, headers={"content-type": "application/x-ndjson"}).status_code == 202
        except httpx.HTTPError:
            return False


def test_nothing_acknowledged_is_lost_when_kafka_and_the_gateway_are_killed(own_broker: Broker, tmp_path: Path) -> None:
    gateway = GatewayProcess(own_broker.bootstrap, tmp_path / "gateway")
    load = Load(gateway.port)
    time.sleep(2)
    own_broker.kill()
    wait_for(lambda: gateway.metric("sentinel_gateway_spilling") == 1, 30, "the gateway to spill", pause_s=0.1)
    time.sleep(2)
    on_disk, memory = gateway.metric("sentinel_gateway_overflow_events"), gateway.rss_mib()
    gateway.kill()
    gateway.start()
    assert gateway.metric("sentinel_gateway_overflow_events") >= on_disk > 0, "a new gateway finds what the killed one had acknowledged"
    time.sleep(1)
    own_broker.restart()
    time.sleep(1)
    load.finish()
    wait_for(lambda: gateway.metric("sentinel_gateway_spilling") == 0, 60, "the overflow to drain", pause_s=0.1)
    assert gateway.metric("sentinel_gateway_overflow_bytes") == 0
    log = gateway.stop()
    assert '"event":"direct"' in log

    stored: dict[str, list[str]] = {}
    records = read_topic(own_broker.bootstrap, "llm-telemetry")
    for record in records:
        found = json.loads(record.value)
        stored.setdefault(found["application_id"], []).append(found["event_id"])
    acknowledged = sum(map(len, load.acknowledged))
    for number, sent in enumerate(load.acknowledged):
        once = list(dict.fromkeys(stored[f"app-{number}"]))
        # What was sent before the end and acknowledged to nobody may be there besides, behind it.
        assert once[: len(sent)] == sent, "each acknowledged event once, in the order in which it was sent"
    repeated = len(records) - sum(len(set(ids)) for ids in stored.values())
    assert load.tries_again > 0, "the senders felt the kill"
    print(
        f"{acknowledged:,} acknowledged, {len(records):,} records, {repeated:,} of them repeated; {on_disk:,.0f} on disk at the kill, {memory:.0f} MiB"
    )
