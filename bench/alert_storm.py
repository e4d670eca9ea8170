"""Anomalies as correlation writes them into `llm-anomalies`, and the configuration under which the bench raises alerts of them."""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from confluent_kafka import Consumer, TopicPartition

from bench.stack import sentinel
from bench.topic import ends
from sentinel.anomaly import Anomaly
from sentinel.identity import stable_id
from sentinel.timestamps import to_rfc3339
from services.traffic.kafka_out import KafkaSender

TOPIC = "llm-anomalies"
RECEIVER = "bench"
NOTIFIED = f"notify-{RECEIVER}"
TENANTS = 50


def anomaly(number: int, count: int, now_ms: int, first_ms: int) -> Anomaly:
    """Record `count` of the anomaly of that number (its application, and so its fingerprint and its alert); about 1,100 bytes as JSON."""
    application = f"app-{number}"
    return Anomaly(
        anomaly_id=stable_id("bench", number, first_ms),
        timestamp=to_rfc3339(first_ms),
        detector_id="latency",
        severity="warning",
        score=0.93,
        application_id=application,
        tenant_id=f"tenant-{number % TENANTS}",
        model="model-a",
        metric="latency_ms",
        title=f"latency_ms of {application} is far above its past",
        description="latency_ms was 8123.4, 6.2 deviations above the 812.3 of its past",
        affected_entity={"type": "model", "id": "model-a"},
        metrics={"baseline_value": 812.3, "observed_value": 8123.4 + count, "deviation": 6.2, "threshold": 3.0},
        context={
            "window_start": to_rfc3339(first_ms),
            "window_end": to_rfc3339(now_ms),
            "sample_events": [str(uuid.UUID(int=number << 64 | count << 8 | place)) for place in range(5)],
            "related_anomalies": [],
        },
        first_seen=to_rfc3339(first_ms),
        last_seen=to_rfc3339(now_ms),
        count=count,
        config_version=1,
        update=count > 1,
    )


def storm(records: int, fingerprints: int, first: int = 0) -> Iterator[Anomaly]:
    """Each fingerprint in turn, again and again, a second later in each round."""
    began_ms = time.time_ns() // 1_000_000 - 60_000
    for index in range(records):
        round_, number = divmod(index, fingerprints)
        yield anomaly(first + number, round_ + 1, began_ms + round_ * 1_000, began_ms)


def send(sender: KafkaSender, one: Anomaly) -> None:
    """As the job writes it: keyed by tenant and application."""
    sender.send(time.time_ns() // 1_000_000, f"{one.tenant_id}|{one.application_id}".encode(), one.to_json())


def apply_configuration(home: Path, url: str, definitions: int = 0) -> None:
    """Nobody waits for others (group_wait 0), everything goes to one receiver. With `definitions` so many definitions, of which the last
    wants everything and the others an application each that there is not."""
    wanted = [_definition(f"d{number}", [f"other-{number}-*"]) for number in range(definitions - 1)]
    alerting: dict[str, Any] = {
        "resolveTimeout": "1h",
        "grouping": {
            "enabled": True,
            "groupBy": ["application_id", "detector_id"],
            "groupWait": "0s",
            "groupInterval": "30s",
            "repeatInterval": "4h",
        },
        "routing": {"defaultReceiver": RECEIVER},
        "receivers": [{"name": RECEIVER, "type": "webhook", "config": {"url": url}}],
    }
    if definitions:
        alerting["definitions"] = [*wanted, _definition("all", [])]
    path = home / "bench-alerting.yaml"
    path.write_text(yaml.safe_dump({"version": "v1", "metadata": {"name": "bench-alerting"}, "alerting": alerting}))
    sentinel(home, "config", "apply", str(path))


def _definition(name: str, applications: list[str]) -> dict[str, Any]:
    filters = {"filters": {"application_ids": applications}} if applications else {}
    return {
        "alert_id": name,
        "name": name,
        "severity": "warning",
        "conditions": {"trigger": "anomaly", **filters},
        "actions": [{"type": "notification"}],
    }


class Notified:
    """Reads the receiver's topic from its end on."""

    def __init__(self, bootstrap: str) -> None:
        self._consumer = Consumer(
            {"bootstrap.servers": bootstrap, "group.id": f"bench-notified-{uuid.uuid4().hex[:8]}", "enable.auto.commit": False}
        )
        self._consumer.assign([TopicPartition(place.topic, place.partition, place.offset) for place in ends(bootstrap, NOTIFIED)])
        self.count = 0

    def poll(self, timeout_s: float) -> list[bytes]:
        """What came since the last call."""
        values = [message.value() or b"" for message in self._consumer.consume(10_000, timeout_s) if message.error() is None]
        self.count += len(values)
        return values

    def wait_for(self, count: int, limit_s: float) -> list[tuple[float, int]]:
        """(epoch seconds, notifications so far) until there are so many. Raises SystemExit when no one comes for `limit_s`."""
        progress = [(time.time(), self.count)]
        while self.count < count:
            if self.poll(0.25):
                progress.append((time.time(), self.count))
            if time.time() - progress[-1][0] > limit_s:
                raise SystemExit(f"bench: {self.count:,} of {count:,} notifications came, then none for {limit_s:.0f} s")
            if len(progress) % 40 == 0:
                print(f"  {self.count:,} of {count:,} notifications", file=sys.stderr)
        return progress

    def close(self) -> None:
        """Leave the topic."""
        self._consumer.close()
