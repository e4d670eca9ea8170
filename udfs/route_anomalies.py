"""Which alerts each anomaly concerns, for the alerting job of the split topology (standalone decides it in correlation).

Vectorised, because one record at a time the crossing to Python and back costs ten times the decision. A batch of N records gives N rows, as a
vectorised function must; what there is to say sits in the first rows, the others are empty and dropped right behind the hop.
"""

from __future__ import annotations

import logging
import time
from typing import Any

import msgspec
import pandas as pd
from pyflink.table import DataTypes, FunctionContext
from pyflink.table.udf import ScalarFunction, udf

from operators.bundle_end import end_bundles_at_once
from sentinel.alerting.blocks import ShardBlocks
from sentinel.alerting.inhibition import InhibitSource, inhibit_sources
from sentinel.alerting.matching import match
from sentinel.anomaly import Anomaly
from sentinel.collector import collect_seldom
from sentinel.kafka_access import KafkaAccess
from udfs.config_watch import ConfigWatch, watch
from udfs.texts import spread

_log = logging.getLogger(__name__)


class RouteAnomalies(ScalarFunction):  # type: ignore[misc]
    """Vectorised: anomaly JSON -> lines. A line is a shard's name and its block (`sentinel.alerting.blocks`), or the JSON of an `InhibitSource`."""

    def __init__(self, kafka: KafkaAccess, snapshot: bytes) -> None:
        self._kafka = kafka
        self._snapshot = snapshot

    def open(self, function_context: FunctionContext) -> None:
        self._watch: ConfigWatch = watch(self._kafka, self._snapshot)
        collect_seldom()
        end_bundles_at_once()

    def eval(self, record: pd.Series) -> pd.Series:
        config, now_ms = self._watch.current, time.time_ns() // 1_000_000
        blocks, sources = ShardBlocks(), dict[str, InhibitSource]()
        for text in record.tolist():
            try:
                anomaly = Anomaly.from_json(text)
            except msgspec.MsgspecError as error:
                _log.error("a record of llm-anomalies is not an anomaly (%s): %.200s", error, text)
                continue
            keys = match(anomaly, config)
            for key in keys:
                blocks.add(key.to_text(), text)
            for source in inhibit_sources(anomaly, keys, config, now_ms):
                sources[source.name] = source
        lines = [source.to_json() for source in sources.values()] + [shard + block for shard, block in blocks.take()]
        # An anomaly may concern alerts of several shards: there can be more lines than rows.
        return pd.Series(spread(lines, len(record)))


def route_anomalies(kafka: KafkaAccess, snapshot: bytes) -> Any:
    """The function to register: `route_anomalies(record)`."""
    return udf(RouteAnomalies(kafka, snapshot), result_type=DataTypes.STRING(), func_type="pandas", name="route_anomalies")
