"""Decode and keyed z-score in Bytewax: `python -m bytewax.run bench/engines/bytewax_zscore.py:flow`, set up by BENCH_* variables.

Each process reads its share of the partitions with batches of the confluent consumer, the fastest way that Bytewax has.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import bytewax.operators as op
import orjson
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from bench.engines import PULSE
from bench.engines.progress import Progress, write_found
from bench.zscore import EMPTY, Baseline, is_outlier, learn, scaled_log

BOOTSTRAP, TOPIC = os.environ["BENCH_BOOTSTRAP"], os.environ["BENCH_TOPIC"]
BATCH = 2_000
_progress = Progress()


class Partition(StatefulSourcePartition[bytes, int]):
    """One partition up to the end that it had at the start."""

    def __init__(self, number: int, resume: int | None) -> None:
        self._consumer = Consumer(
            {"bootstrap.servers": BOOTSTRAP, "group.id": "bench-bytewax", "enable.auto.commit": False, "queued.min.messages": 100_000}
        )
        _, self._end = self._consumer.get_watermark_offsets(TopicPartition(TOPIC, number), timeout=15)
        self._next = resume or 0
        self._consumer.assign([TopicPartition(TOPIC, number, resume or OFFSET_BEGINNING)])

    def next_batch(self) -> list[bytes]:
        if self._next >= self._end:
            _progress.say()
            raise StopIteration
        messages = self._consumer.consume(BATCH, timeout=0.01)
        if not messages:
            return []
        self._next = (messages[-1].offset() or 0) + 1
        _progress.add(len(messages))
        return [message.value() or b"" for message in messages]

    def snapshot(self) -> int:
        return self._next

    def close(self) -> None:
        self._consumer.close()


class Telemetry(FixedPartitionedSource[bytes, int]):
    def list_parts(self) -> list[str]:
        consumer = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": "bench-bytewax"})
        count = len(consumer.list_topics(TOPIC, timeout=15).topics[TOPIC].partitions)
        consumer.close()
        return [str(number) for number in range(count)]

    def build_part(self, step_id: str, for_part: str, resume_state: int | None) -> Partition:
        return Partition(int(for_part), resume_state)


class Found(StatelessSinkPartition[tuple[str, str]]):
    def write_batch(self, items: list[tuple[str, str]]) -> None:
        write_found([event_id for _, event_id in items])


class FoundSink(DynamicSink[tuple[str, str]]):
    def build(self, step_id: str, worker_index: int, worker_count: int) -> Found:
        return Found()


def decode(values: list[bytes]) -> Iterable[tuple[str, tuple[str, int]]]:
    """(key, (event id, number)) of the responses."""
    out: list[tuple[str, tuple[str, int]]] = []
    for value in values:
        if value == PULSE:
            continue
        event: dict[str, Any] = orjson.loads(value)
        if event["event_type"] == "llm.response":
            data = event["data"]
            key = f"{event['tenant_id']}|{event['application_id']}|{data['model']}"
            out.append((key, (event["event_id"], scaled_log(data["latency_ms"]))))
    return out


def judge(baseline: Baseline | None, item: tuple[str, int]) -> tuple[Baseline, list[str]]:
    """Learn the number, or name the event."""
    event_id, number = item
    known = baseline or EMPTY
    if is_outlier(known, number):
        return known, [event_id]
    return learn(known, 1, number, number * number), []


flow = Dataflow("bench")
_values = op.input("telemetry", flow, Telemetry())
_numbers = op.flat_map_batch("decode", _values, decode)
op.output("found", op.stateful_flat_map("z-score", _numbers, judge), FoundSink())
