"""The traffic of the recovery tests: the same events for every run, with another tenant prefix and another base of event time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from functools import cache

import orjson

from sentinel.events.model import PULSE
from services.pulse.__main__ import TELEMETRY_TOPICS
from services.traffic.generator import TrafficSettings, generate_events
from services.traffic.injection import Injector
from services.traffic.kafka_out import KafkaSender
from services.traffic.plan import parse_plan
from services.traffic.timed import TimedEvent, format_ms
from tests.support.sinks import Run
from tests.support.stack import Stack
from tests.support.streams import Sent
from tests.support.telemetry import MINUTE_MS, ticks

SETTINGS = TrafficSettings(seed=11, rate=50.0, tenants=2, applications=4, models=2, users=10, rhythm=False)
LENGTH_S = 300.0
PULSE_EVERY_MS = 1_000
"""A partition without records would hold event time back until it counts as idle, which is longer than a run; and idleness follows the clock."""
SPEED = 8.0
BROKEN_EVERY = 50
"""Each so-manieth event is broken, so that the dead letters are compared too."""


@cache
def _events() -> tuple[TimedEvent, ...]:
    """Events from event time 0 on, with one trouble of each kind in four applications, before and behind the middle."""
    places = [tuple(place.split("/")) for place in SETTINGS.world().known_applications()]
    troubles = [
        {"kind": "prompt_injection_wave", "at": 40, "duration": 220, "prompts": 60},
        {"kind": "error_burst", "at": 170, "duration": 80, "share": 0.5},
        {"kind": "latency_spike", "at": 150, "duration": 100, "factor": 5},
        {"kind": "silence", "at": 190, "duration": 80},
    ]
    placed = [trouble | {"tenant": place[0], "application": place[1]} for trouble, place in zip(troubles, places, strict=True)]
    injector = Injector(parse_plan({"seed": 3, "injections": placed}, "the recovery scenario"), 0)
    return tuple(injector.apply(generate_events(SETTINGS, 0, duration_s=LENGTH_S)))


def count() -> int:
    """Records of one run, broken ones included, ticks not."""
    return len(_events())


def _records(run: Run) -> Iterator[tuple[int, bytes, bytes]]:
    for number, timed in enumerate(_events()):
        assert timed.event is not None
        at_ms = run.base_ms + timed.ts_ms
        event = timed.event | {"tenant_id": run.tenant(timed.event["tenant_id"]), "timestamp": format_ms(at_ms)}
        if number % BROKEN_EVERY == BROKEN_EVERY - 1:
            event["event_type"] = "llm.broken"
        yield at_ms, f"{event['tenant_id']}|{event['application_id']}".encode(), orjson.dumps(event)


def _key_by_partition(stack: Stack, topic: str, at_ms: int) -> list[bytes]:
    """A key for each partition of the topic, found by sending pulses."""
    keys = [f"pulse-{number}".encode() for number in range(64)]
    places = stack.produce([Sent(PULSE, at_ms, key) for key in keys], topic)
    return list({place.partition: key for place, key in zip(places, keys, strict=True)}.values())


class Replay:
    """One run, sent in a thread of its own at `SPEED` times real time; a broker that is away is waited for."""

    def __init__(self, stack: Stack, run: Run) -> None:
        self._bootstrap, self._run = stack.endpoints.kafka_bootstrap, run
        self._thread = threading.Thread(target=self._send, name="replay", daemon=True)
        self._began = 0.0
        self.sent = 0
        self.failure: Exception | None = None
        self._keys = {topic: _key_by_partition(stack, topic, run.base_ms) for topic in TELEMETRY_TOPICS}
        stack.produce(ticks(run.base_ms))
        time.sleep(1.0)
        self._thread.start()

    def wait_until(self, share: float) -> None:
        """Returns when that share of the records is on its way."""
        while self.sent < share * count():
            assert self.failure is None, self.failure
            time.sleep(0.05)

    def finish(self, stack: Stack) -> None:
        """Waits for the end and closes the run's windows."""
        self._thread.join(600)
        assert not self._thread.is_alive() and self.failure is None, self.failure
        end_ms = self._run.base_ms + round(LENGTH_S * 1000) + 4 * MINUTE_MS
        for topic in TELEMETRY_TOPICS:
            stack.produce([Sent(PULSE, end_ms, key) for key in self._keys[topic]], topic)
        stack.produce(ticks(end_ms))

    def _send(self) -> None:
        try:
            senders = {topic: KafkaSender(self._bootstrap, topic) for topic in TELEMETRY_TOPICS}
            sender = senders["llm-telemetry"]
            began, pulsed_ms = time.monotonic(), self._run.base_ms
            for at_ms, key, value in _records(self._run):
                # By the producer of the events: behind them in every partition, whatever the broker does meanwhile.
                if at_ms - pulsed_ms >= PULSE_EVERY_MS:
                    pulsed_ms = at_ms
                    for topic, keys in self._keys.items():
                        for pulse_key in keys:
                            senders[topic].send(at_ms, pulse_key, PULSE)
                ahead = (at_ms - self._run.base_ms) / 1000 / SPEED - (time.monotonic() - began)
                if ahead > 0.02:
                    sender.wait(ahead)
                sender.send(at_ms, key, value)
                self.sent += 1
            for each in senders.values():
                each.finish(540)
        except Exception as error:
            self.failure = error
