"""Which alerts an anomaly concerns, for the alerting job of the split topology (standalone decides it in correlation)."""

from __future__ import annotations

from collections.abc import Iterable

from pyflink.common import Row, Types
from pyflink.datastream import KeyedBroadcastProcessFunction

from operators.configured import ConfiguredFunction
from sentinel.alerting.matching import match
from sentinel.anomaly import Anomaly

OUTPUT_TYPE = Types.ROW([Types.STRING(), Types.STRING()])
"""(alert key, anomaly JSON)"""


class Routing(ConfiguredFunction):
    """In: rows (tenant|application, anomaly JSON). Out: rows of `OUTPUT_TYPE`. Keeps no state of its own."""

    def __init__(self, snapshot: bytes) -> None:
        super().__init__(snapshot, "routing")

    def process_element(self, value: Row, ctx: KeyedBroadcastProcessFunction.ReadOnlyContext) -> Iterable[Row]:
        return [Row(key.to_text(), value[1]) for key in match(Anomaly.from_json(value[1]), self.config(ctx))]
