"""Generated traffic through the product's own decoding, rules, panes and detectors, in event time and without Flink.

What the job does between Kafka and correlation, by the same classes: decode a batch, evaluate the per-event rules, fold panes, and hand each shard its
seconds. No record is late here, so a second is whole when it is over.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from sentinel.anomaly import Anomaly
from sentinel.config.runtime import RuntimeConfig
from sentinel.detection.rules.engine import EventRules
from sentinel.events.columns import columns_of
from sentinel.events.decode import decode_batch
from sentinel.events.folding import fold
from sentinel.events.names import Names
from sentinel.pane_blocks import PaneBlock
from sentinel.panes import turn_ms
from sentinel.shard import Shard
from sentinel.timestamps import from_rfc3339
from services.traffic.timed import TimedEvent, TimedStream

CHUNK_MS = 10_000
"""Events of one chunk are decoded and folded together; seconds are whole in it."""


class Found(NamedTuple):
    """An anomaly, and the event time at which it was made: the end of the pane that showed it, or the event itself."""

    anomaly: Anomaly
    at_ms: int


def detect(stream: TimedStream, config: RuntimeConfig) -> Iterator[Found]:
    """Every finding in the order of time. Raises ValueError when an event is refused: the figures would be about other traffic."""
    rules, names = EventRules(config), Names()
    shards: dict[int, Shard] = {}
    said: list[Anomaly]
    for begin_ms, chunk in _chunks(stream):
        times = [timed.ts_ms for timed in chunk]
        decoded = decode_batch([timed.value() for timed in chunk], times)
        if decoded.rejects:
            raise ValueError(f"{len(decoded.rejects)} generated events were refused, the first: {decoded.rejects[0]}")
        blocks: dict[int, list[tuple[int, PaneBlock]]] = {}
        if decoded.events:
            columns = columns_of(decoded.events, np.array(times)[decoded.rows], names)
            ids = [event.event_id or uuid.UUID(int=0) for event in decoded.events]
            found = rules.evaluate(decoded.events, columns, ids, times[-1])
            for anomaly in found:
                yield Found(anomaly, from_rfc3339(anomaly.first_seen))
            for number, block in fold(columns, ids, rules.facts(decoded.events, columns, ids, found)):
                blocks.setdefault(block.start_ms + 1000, []).append((number, block))
        for end_ms in range(begin_ms + 1000, begin_ms + CHUNK_MS + 1, 1000):
            said = []
            for number, block in blocks.get(end_ms, []):
                if number not in shards:
                    shards[number] = Shard(config, roll_up=False, turn_ms=turn_ms(number))
                said += shards[number].on_second(block, end_ms).anomalies
            # Time passes for every shard, also for those of which nothing was heard.
            said += [anomaly for shard in shards.values() for anomaly in shard.on_time(end_ms - 1).anomalies]
            for anomaly in said:
                yield Found(anomaly, from_rfc3339(anomaly.timestamp))


def _chunks(stream: TimedStream) -> Iterator[tuple[int, list[TimedEvent]]]:
    """Runs of `CHUNK_MS`, empty ones too: silence is found between events."""
    chunk: list[TimedEvent] = []
    begin_ms = -1
    for timed in stream:
        if begin_ms < 0:
            begin_ms = timed.ts_ms // CHUNK_MS * CHUNK_MS
        while timed.ts_ms >= begin_ms + CHUNK_MS:
            yield begin_ms, chunk
            begin_ms, chunk = begin_ms + CHUNK_MS, []
        chunk.append(timed)
    if chunk:
        yield begin_ms, chunk
