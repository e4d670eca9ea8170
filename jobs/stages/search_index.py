"""Anomaly records into the search index."""

from __future__ import annotations

from pyflink.common import Time, Types
from pyflink.datastream import AsyncDataStream
from pyflink.java_gateway import get_gateway
from pyflink.table import StreamTableEnvironment

from jobs.stages.environment import rows_for_python
from operators.search_index import IndexAnomalies
from sentinel.settings import JobSettings

_TIME_LIMIT = Time.days(1)
"""Longer than any outage that somebody would sit out: the function itself repeats."""

_UNDER_WAY = 1_000


def indexed(t_env: StreamTableEnvironment, settings: JobSettings, table: str) -> None:
    """Index the column `record` of a table."""
    records = rows_for_python(t_env, t_env.sql_query(f"SELECT record FROM {table}"))
    ids = AsyncDataStream.ordered_wait(records, IndexAnomalies(settings.opensearch_url), _TIME_LIMIT, _UNDER_WAY, Types.STRING())
    ids = ids.name("index anomalies").uid("index-anomalies")
    # The index has everything by then; a stream needs an end.
    discard = get_gateway().jvm.org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink()
    ids._j_data_stream.sinkTo(discard).name("done").uid("done")
