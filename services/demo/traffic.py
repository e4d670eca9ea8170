"""The traffic of the demonstration, in a thread of its own."""

from __future__ import annotations

import threading

from services.demo.scenario import Scenario
from services.traffic.generator import generate_events
from services.traffic.injection import Injector
from services.traffic.kafka_out import KafkaSender
from services.traffic.rebase import now_ms
from services.traffic.replay import run_stream
from services.traffic.truth import Truth

TOPIC = "llm-telemetry"


class DemoTraffic:
    """Endless traffic at real time with the trouble of the plan in it; calm again afterwards. Raises SendError when Kafka is not there."""

    def __init__(self, scenario: Scenario, bootstrap: str) -> None:
        self._sender = KafkaSender(bootstrap, TOPIC)
        self._stop = threading.Event()
        self._scenario = scenario
        self.start_ms = now_ms()
        self._injector = Injector(scenario.plan, self.start_ms)
        self._thread = threading.Thread(target=self._run, name="demo-traffic", daemon=True)
        self.failure: Exception | None = None

    @property
    def truth(self) -> list[Truth]:
        return self._injector.truth

    @property
    def sent(self) -> int:
        """Events sent so far."""
        return self._sender.sent

    @property
    def last_end_ms(self) -> int:
        """Event time at which the last trouble is over."""
        return max((truth.end_ms for truth in self.truth), default=self.start_ms)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, once everything sent is acknowledged (10 s at most)."""
        self._stop.set()
        self._thread.join(10.0)

    def _run(self) -> None:
        stream = self._injector.apply(generate_events(self._scenario.traffic, self.start_ms))
        try:
            run_stream(stream, self._sender, first_ms=self.start_ms, speed=1.0, stop=self._stop.is_set)
        except Exception as error:
            # Shown by the view: a thread must not die unseen.
            self.failure = error
