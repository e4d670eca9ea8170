"""Pane blocks by shard and second, and the operator that merges them: detectors and one-minute rollups."""

from __future__ import annotations

from pyflink.datastream import BroadcastStream, DataStream
from pyflink.table import StreamTableEnvironment

from jobs.stages.environment import border, in_one_subtask, keyed_rows, planned_with, side_output, view_of
from operators import shard_panes
from sentinel.pane_blocks import SEPARATOR
from sentinel.settings import JobSettings

PANE_TIME = "TO_TIMESTAMP_LTZ(start_ms, 3)"


def blocks(t_env: StreamTableEnvironment, inspected: DataStream) -> None:
    """View `shard_blocks` (shard, end_ms, late, blocks, end_time): the partial blocks of each shard's second in one row when it is over; late ones
    at once."""
    _judge_lateness(t_env, inspected)
    t_env.execute_sql("CREATE TEMPORARY VIEW on_time_blocks AS SELECT * FROM judged_blocks WHERE NOT late")
    # Gathered behind the exchange, and as an array. Before it, in the chain of the hop, Flink would join the texts of three seconds at a time (it does
    # when the first of them is over, lateness and all), and LISTAGG copies what it has for each text that it adds.
    query = f"""
        SELECT shard, MAX(start_ms) + 1000 AS end_ms, FALSE AS late, ARRAY_JOIN(ARRAY_AGG(`block`), '{SEPARATOR}') AS blocks
        FROM TABLE(TUMBLE(TABLE on_time_blocks, DESCRIPTOR(pane_time), INTERVAL '1' SECOND)) GROUP BY shard, window_start, window_end
        UNION ALL SELECT shard, start_ms + 1000, TRUE, `block` FROM judged_blocks WHERE late
    """
    with planned_with(t_env, "table.optimizer.agg-phase-strategy", "ONE_PHASE", usual="AUTO"):
        stream = border(t_env, t_env.sql_query(query))
    # With its time, so that watermarks go on: seconds, minutes and silences of a shard end by them.
    view_of(t_env, "shard_blocks", stream, "end_time", "TO_TIMESTAMP_LTZ(end_ms, 3)")


def _judge_lateness(t_env: StreamTableEnvironment, inspected: DataStream) -> None:
    """View `judged_blocks` (shard, start_ms, block, late, pane_time).

    One subtask judges all of them, by the event time of all sources together: the windows behind it have no other input, and are nowhere else in time.
    Each source by itself would let pass what a source that was away brings, and a window that went on without it would drop it unseen.
    """
    view_of(t_env, "block_rows", inspected, "pane_time", PANE_TIME)
    stream = border(t_env, t_env.sql_query("SELECT shard, start_ms, `block` FROM block_rows WHERE `block` IS NOT NULL"))
    view_of(t_env, "all_blocks", stream.rebalance(), "pane_time", PANE_TIME)
    # Flink closes a window at the watermark of its last millisecond, and drops what comes for it from then on.
    late = "COALESCE(pane_time + INTERVAL '0.999' SECOND(1, 3) <= CURRENT_WATERMARK(pane_time), FALSE)"
    judged = border(t_env, t_env.sql_query(f"SELECT shard, start_ms, `block`, {late} AS late FROM all_blocks"))
    in_one_subtask(judged, "late or not")
    view_of(t_env, "judged_blocks", judged, "pane_time", PANE_TIME)


def shards(
    t_env: StreamTableEnvironment, settings: JobSettings, configuration: BroadcastStream, snapshot: bytes, *, detect: bool, roll_up: bool
) -> None:
    """Views `pane_findings`, `minutes` and `late_minutes` of view `shard_blocks`.

    `pane_findings` are anomalies of the detectors, rows as in `event_findings` and whether they are of a model in shadow mode.
    """
    keyed = keyed_rows(t_env, "SELECT shard, end_ms, late, blocks FROM shard_blocks", shard_panes.INPUT_TYPE)
    operator = shard_panes.ShardPanes(snapshot, detect, roll_up, settings.keys_per_shard)
    found = keyed.connect(configuration).process(operator, output_type=shard_panes.OUTPUT_TYPE).name("panes of a shard").uid("shard-panes")
    view_of(t_env, "pane_findings", found)
    if roll_up:
        view_of(t_env, "minutes", side_output(found, shard_panes.MINUTES))
        view_of(t_env, "late_minutes", side_output(found, shard_panes.LATE))
