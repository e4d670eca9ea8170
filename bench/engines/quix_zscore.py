"""Decode and keyed z-score in Quix Streams, set up by BENCH_* variables; one process of a consumer group."""

from __future__ import annotations

import os
from typing import Any

import orjson
from quixstreams import Application, State

from bench.engines.progress import Progress, write_found
from bench.zscore import EMPTY, is_outlier, learn, scaled_log

IDLE_S = 15.0
_progress = Progress()


def decode(value: bytes) -> dict[str, Any]:
    """The event."""
    event: dict[str, Any] = orjson.loads(value)
    return event


def judge(event: dict[str, Any], state: State) -> None:
    """State is kept by message key (tenant and application), and in it by model."""
    _progress.add(1)
    if event["event_type"] != "llm.response":
        return
    data = event["data"]
    number = scaled_log(data["latency_ms"])
    known = tuple(state.get(data["model"], EMPTY))
    if is_outlier(known, number):
        write_found([event["event_id"]])
    else:
        state.set(data["model"], learn(known, 1, number, number * number))


def main() -> None:
    application = Application(
        broker_address=os.environ["BENCH_BOOTSTRAP"],
        consumer_group=os.environ["BENCH_GROUP"],
        auto_offset_reset="earliest",
        state_dir=os.environ["BENCH_STATE"],
        loglevel="WARNING",
    )
    topic = application.topic(os.environ["BENCH_TOPIC"], value_deserializer="bytes")
    frame = application.dataframe(topic).apply(decode)
    frame.update(judge, stateful=True)
    application.run(timeout=IDLE_S)
    _progress.say()


if __name__ == "__main__":
    main()
