"""Telemetry events for tests, and event-time segments that keep the tests of one stack out of each other's way."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Iterator
from typing import Any

from services.traffic.timed import format_ms
from tests.support.streams import PARTITIONS, Sent

TICK_TENANT = "tick"
MINUTE_MS = 60_000
BUCKET_MS = 300_000
"""The dedup window: segments begin on it, so that a test's anomalies do not share an id by chance or fall apart by chance."""


def event(kind: str, at_ms: int, tenant: str, application: str, data: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """One valid event as a producer would write it."""
    return {
        "event_id": str(uuid.uuid4()),
        "timestamp": format_ms(at_ms),
        "source": {"service": "system-test", "host": "test-host"},
        "event_type": kind,
        "application_id": application,
        "tenant_id": tenant,
        "data": data,
        **changes,
    }


def without_event_ids(text: str) -> str:
    """A text of events without the ids that `event` drew: their digits may by chance be those of a planted number."""
    return re.sub(r'"event_id": ?"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"', '"event_id":""', text)


def response(at_ms: int, tenant: str, application: str, latency_ms: float = 800.0, status: str = "success", **data: Any) -> dict[str, Any]:
    """A call that was answered."""
    content = {"status": status, "model": "model-a", "latency_ms": latency_ms, "prompt_tokens": 100, "completion_tokens": 50}
    return event("llm.response", at_ms, tenant, application, content | {"total_tokens": 150, "cost": 0.002} | data)


def request(at_ms: int, tenant: str, application: str, prompt: str = "What is the capital of France?") -> dict[str, Any]:
    """A prompt."""
    return event("llm.request", at_ms, tenant, application, {"model": "model-a", "prompt": prompt})


def record(content: dict[str, Any], at_ms: int, partition: int | None = None) -> Sent:
    """The event as a record whose own time is `at_ms`; its application decides the partition unless one is given."""
    key = f"{content['tenant_id']}|{content['application_id']}".encode()
    return Sent(json.dumps(content).encode(), at_ms, key, partition)


def ticks(at_ms: int) -> Iterator[Sent]:
    """One event on every partition: event time comes to `at_ms` less the lateness, and closes what lies before."""
    for partition in range(PARTITIONS):
        yield record(response(at_ms, TICK_TENANT, f"tick-{partition}"), at_ms, partition)


class Segments:
    """Stretches of event time in the past, each after the one before: what a test sends closes at once, without waiting minutes."""

    def __init__(self, hours: float = 12.0) -> None:
        self._end_ms = round(time.time() * 1000 - hours * 3_600_000)
        self._taken_s = time.monotonic()

    def take(self, minutes: int) -> int:
        """Start (epoch ms, on a dedup window) of a stretch that nobody else has."""
        # While telemetry is quiet, pulses move event time on at the speed of the clock.
        now_s = time.monotonic()
        earliest_ms = self._end_ms + round((now_s - self._taken_s) * 1000) + 2 * MINUTE_MS
        start_ms = -(-earliest_ms // BUCKET_MS) * BUCKET_MS
        self._end_ms, self._taken_s = start_ms + minutes * MINUTE_MS, now_s
        return start_ms
