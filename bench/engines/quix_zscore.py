"""Decode and keyed z-score in Quix Streams, set up by BENCH_* variables; one process of a consumer group.

Keyed anew by tenant, application and model, as the other engines key it: what is needed of an answer goes through a topic of Quix's own.
State under the key that the events come with, and in it by model, was no faster, and memory grew with every event (4.4 GiB after 1.5 million).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import orjson
from quixstreams import Application, State

from bench.engines import PULSE
from bench.engines.progress import Progress, write_found
from bench.zscore import EMPTY, is_outlier, learn, scaled_log

IDLE_S = 15.0
_progress = Progress()


class Door:
    """Lets telemetry in. Quix ends when nothing has come for `IDLE_S`, but the product's pulses come for ever: they do not count here."""

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        self._last_s = time.monotonic()

    def is_event(self, value: bytes) -> bool:
        """Whether this is telemetry."""
        now_s = time.monotonic()
        if value != PULSE:
            self._last_s = now_s
            return True
        if now_s - self._last_s > IDLE_S:
            self._stop()
        return False


def decode(value: bytes) -> dict[str, Any]:
    """The event."""
    event: dict[str, Any] = orjson.loads(value)
    return event


def is_response(event: dict[str, Any]) -> bool:
    """Requests are done with here; responses when they have been judged."""
    if event["event_type"] == "llm.response":
        return True
    _progress.add(1)
    return False


def number_of(event: dict[str, Any]) -> dict[str, Any]:
    """What is judged of a response."""
    data = event["data"]
    key = f"{event['tenant_id']}|{event['application_id']}|{data['model']}"
    return {"key": key, "event_id": event["event_id"], "number": scaled_log(data["latency_ms"])}


def judge(item: dict[str, Any], state: State) -> None:
    """Learn the number, or name the event."""
    _progress.add(1)
    known = tuple(state.get("baseline", EMPTY))
    number = item["number"]
    if is_outlier(known, number):
        write_found([item["event_id"]])
    else:
        state.set("baseline", learn(known, 1, number, number * number))


def main() -> None:
    application = Application(
        broker_address=os.environ["BENCH_BOOTSTRAP"],
        consumer_group=os.environ["BENCH_GROUP"],
        auto_offset_reset="earliest",
        state_dir=os.environ["BENCH_STATE"],
        loglevel="WARNING",
    )
    topic = application.topic(os.environ["BENCH_TOPIC"], value_deserializer="bytes")
    frame = application.dataframe(topic).filter(Door(application.stop).is_event).apply(decode).filter(is_response).apply(number_of)
    frame.group_by("key").update(judge, stateful=True)
    application.run(timeout=IDLE_S)
    _progress.say()


if __name__ == "__main__":
    main()
