"""Keyed z-score over panes: the pane's exemplar tells which event its highest latency belongs to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec
from pyflink.common import Row, Types
from pyflink.datastream import KeyedProcessFunction, RuntimeContext
from pyflink.datastream.state import ValueStateDescriptor

from bench.zscore import EMPTY, Baseline, is_outlier, learn, scaled_log
from operators.bundle_end import end_bundles_at_once
from sentinel.pane_blocks import PANE_SUMS, event_text, from_texts

INPUT_TYPE = Types.ROW([Types.INT(), Types.STRING()])
"""(shard, panes of a second: pane blocks, or lines of key, count, log sum, log sum of squares, highest log with its place as one number)"""
OUTPUT_TYPE = Types.ROW_NAMED(["key", "record"], [Types.STRING(), Types.STRING()])
MOST_OFFSETS = 2**40
"""Of a partition: a place is the partition times this, plus the offset."""
MOST_PLACES = 2**48
"""256 partitions. The log beside it has 15 bits: 32,767 thousandths, e^32 ms."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(dict[str, Baseline])
_COUNT, _LOG_SUM, _LOG_SUMSQ = (PANE_SUMS.index(name) for name in ("latency_count", "latency_log_sum", "latency_log_sumsq"))

Pane = tuple[str, int, int, int, int, str]
"""Key, count, log sum, log sum of squares, highest log, its event: the id, or partition:offset."""


class SingleOutliers(KeyedProcessFunction):  # type: ignore[misc]
    """Out: the outliers, by event id or by place."""

    def __init__(self, blocks: bool) -> None:
        self._panes = _of_blocks if blocks else _of_lines
        self._shards: dict[int, dict[str, Baseline]] = {}

    def open(self, runtime_context: RuntimeContext) -> None:
        end_bundles_at_once()
        self._state = runtime_context.get_state(ValueStateDescriptor("baselines", Types.PRIMITIVE_ARRAY(Types.BYTE())))

    def process_element(self, value: Row, ctx: KeyedProcessFunction.Context) -> Iterable[Row]:
        baselines = self._shards.get(value[0])
        if baselines is None:
            stored = self._state.value()
            baselines = self._shards[value[0]] = {} if stored is None else _decoder.decode(bytes(stored))
        found = [Row(None, event) for pane in self._panes(value[1]) if (event := _judge(baselines, pane))]
        self._state.update(_encoder.encode(baselines))
        return found


def _of_blocks(texts: str) -> Iterator[Pane]:
    block = from_texts(texts)
    for key, sums, maxima, ids in zip(block.keys, block.sums.tolist(), block.maxima.tolist(), block.ids, strict=True):
        if sums[_COUNT]:
            yield "|".join(key), sums[_COUNT], sums[_LOG_SUM], sums[_LOG_SUMSQ], scaled_log(maxima[0] / 1000), event_text(ids[:16])


def _of_lines(lines: str) -> Iterator[Pane]:
    for line in lines.split("\n"):
        key, count, total, squares, highest = line.split("\t")
        log, place = divmod(int(highest), MOST_PLACES)
        yield key, int(count), int(total), int(squares), log, ":".join(map(str, divmod(place, MOST_OFFSETS)))


def _judge(baselines: dict[str, Baseline], pane: Pane) -> str | None:
    """Learn one pane; the event of its highest latency when that is an outlier, which is not learned."""
    key, count, total, squares, highest, event = pane
    baseline = baselines.get(key, EMPTY)
    if not is_outlier(baseline, highest):
        baselines[key] = learn(baseline, count, total, squares)
        return None
    baselines[key] = learn(baseline, count - 1, total - highest, squares - highest * highest)
    return event
