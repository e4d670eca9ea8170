"""What detectors cost: in the detection job with 10 and with 100 of them over 1,000 keys, in plain Python, and beside River and PyOD.

The aims: 100 detectors on 1,000 keys at 60,000 events/s (a pane then holds sixty events), a hundred at most a third slower than ten, and
less than 4 kB of state a key and detector.
"""

from __future__ import annotations

from typing import Any

from bench import engine_cost, models
from bench.flink_row import run_job
from bench.row import Row
from bench.stack import BenchStack
from bench.topic import EVENTS_PER_SECOND, Filled, fill

TOPIC = "llm-events"
"""What the detection job reads: events that the ingestion job has let through."""
COUNTS = (10, 100)


def run(stack: BenchStack, row: Row, events: int, keys: int, quick: bool) -> Row:
    """Fill the row; the rate and the CPU time of the row itself are those with a hundred detectors."""
    filled = fill(stack.bootstrap, stack.layout.home, TOPIC, events, keys)
    jobs: dict[int, Row] = {}
    try:
        for count in COUNTS:
            stack.configure({"detectors": engine_cost.detectors(count)})
            jobs[count] = _job(stack, row, count, filled)
    finally:
        stack.configure()
    hundred = jobs[COUNTS[-1]]
    row.rate, row.wall_s, row.events = hundred.rate, hundred.wall_s, filled.events
    row.cpu_s_per_million, row.pss_bytes = hundred.cpu_s_per_million, hundred.pss_bytes
    row.checkpoints, row.checkpoints_failed, row.restarts = hundred.checkpoints, hundred.checkpoints_failed, hundred.restarts
    row.details = {
        "keys": keys,
        "events of a pane": round(EVENTS_PER_SECOND / keys, 1),
        **{f"job with {count} detectors": _figures(jobs[count]) for count in COUNTS},
        **engine_cost.run(Row(row.name, row.what, row.command), quick).details,
        **models.rates(Row(row.name, row.what, row.command), quick).details,
    }
    few = jobs[COUNTS[0]]
    if few.rate and hundred.rate:
        row.details["rate lost from 10 to 100 detectors"] = round(1.0 - hundred.rate / few.rate, 3)
        row.details["CPU s per million more, 10 to 100"] = round(_cpu(hundred) - _cpu(few), 2)
    return row


def _job(stack: BenchStack, row: Row, count: int, filled: Filled) -> Row:
    stack.cancel_all()
    stack.empty_tables()
    own = Row(f"{row.name}-{count}", row.what, row.command)
    # Beside the other jobs of the split topology it has one slot; here it has the machine to itself.
    return run_job(stack, own, "jobs.detection", [], "detection", filled, parallelism=2)


def _figures(row: Row) -> dict[str, Any]:
    return {"events/s": round(row.rate), "CPU s per million": row.cpu_s_per_million, "restarts": row.restarts, "wall s": row.wall_s}


def _cpu(row: Row) -> float:
    return sum(value for name, value in row.cpu_s_per_million.items() if name in ("taskmanager", "python-workers", "jobmanager"))
