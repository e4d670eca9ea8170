"""Keyed z-score over panes: the pane's exemplar tells which event its highest latency belongs to."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from pyflink.common import Row, Types
from pyflink.datastream import KeyedProcessFunction, RuntimeContext
from pyflink.datastream.state import ValueStateDescriptor

from bench.zscore import EMPTY, Baseline, is_outlier, learn, scaled_log
from sentinel.events.folding import EXEMPLAR_DIGITS

OUTPUT_TYPE = Types.ROW_NAMED(["key", "record"], [Types.STRING(), Types.STRING()])

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(dict[str, Baseline])


class SingleOutliers(KeyedProcessFunction):  # type: ignore[misc]
    """In: rows (shard, lines of key, count, log sum, log sum of squares, exemplar). Out: the event ids of outliers."""

    def __init__(self) -> None:
        self._shards: dict[int, dict[str, Baseline]] = {}

    def open(self, runtime_context: RuntimeContext) -> None:
        self._state = runtime_context.get_state(ValueStateDescriptor("baselines", Types.PRIMITIVE_ARRAY(Types.BYTE())))

    def process_element(self, value: Row, ctx: KeyedProcessFunction.Context) -> Iterable[Row]:
        baselines = self._shards.get(value[0])
        if baselines is None:
            stored = self._state.value()
            baselines = self._shards[value[0]] = {} if stored is None else _decoder.decode(bytes(stored))
        found = [Row(None, event) for line in value[1].split("\n") if (event := _judge(baselines, line))]
        self._state.update(_encoder.encode(baselines))
        return found


def _judge(baselines: dict[str, Baseline], line: str) -> str | None:
    """Learn one pane; the id of its highest latency's event when that is an outlier, which is not learned."""
    key, *numbers, exemplar = line.split("\t")
    count, total, squares = map(int, numbers)
    baseline = baselines.get(key, EMPTY)
    highest = scaled_log(int(exemplar[:EXEMPLAR_DIGITS]) / 1000)
    if not is_outlier(baseline, highest):
        baselines[key] = learn(baseline, count, total, squares)
        return None
    baselines[key] = learn(baseline, count - 1, total - highest, squares - highest * highest)
    return exemplar[EXEMPLAR_DIGITS:]
