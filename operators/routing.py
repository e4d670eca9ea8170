"""Which alerts an anomaly concerns, for the alerting job of the split topology (standalone decides it in correlation)."""

from __future__ import annotations

from collections.abc import Iterable

from pyflink.common import Row, Types
from pyflink.datastream import KeyedBroadcastProcessFunction

from operators.broadcast_configuration import BroadcastConfiguration
from sentinel.alerting.matching import match
from sentinel.anomaly import Anomaly

INPUT_TYPE = Types.ROW([Types.STRING(), Types.STRING()])
"""(tenant|application, anomaly JSON)"""

OUTPUT_TYPE = Types.ROW([Types.STRING(), Types.STRING()])
"""(alert key, anomaly JSON)"""


class Routing(BroadcastConfiguration):
    """In: rows of `INPUT_TYPE`. Out: rows of `OUTPUT_TYPE`. Keeps no state of its own."""

    def process_element(self, value: Row, ctx: KeyedBroadcastProcessFunction.ReadOnlyContext) -> Iterable[Row]:
        return [Row(key.to_text(), value[1]) for key in match(Anomaly.from_json(value[1]), self.config(ctx))]
