"""The door of the split topology on two slots: decode, validate, complete, redact, price, and write `llm-events` exactly once.

The aim: 50,000 events/s, then 100,000. Beside the bare door stand each id once for every tenant, and pairing for every tenant; of the bench's events half
are requests, and each answer follows its request at once, so little is in flight and no answer has to be rewritten.
"""

from __future__ import annotations

from typing import Any

from bench.flink_row import run_job
from bench.row import Row
from bench.stack import BenchStack
from bench.topic import Filled, end_offset, recreate
from services.traffic.bulk import bulk_keys

SLOTS = 2
TARGET = "llm-events"


def plain(keys: int) -> dict[str, Any]:
    """Nothing asked for."""
    return {}


def once(keys: int) -> dict[str, Any]:
    """Each id once, for every tenant of the load."""
    return {"tenants": {key.tenant_id: {"deduplicateEvents": True} for key in bulk_keys(keys)}}


def pairing(keys: int) -> dict[str, Any]:
    """Requests and answers paired, for everybody."""
    return {"ingestion": {"pairing": {"enabled": True}}}


CHOICES = {"": plain, "-once": once, "-pairing": pairing}
"""End of the row's name → configuration by number of keys."""


def run(stack: BenchStack, row: Row, filled: Filled, choice: str) -> Row:
    """Fill the row; what the job wrote is counted in `llm-events`."""
    stack.cancel_all()
    stack.empty_tables()
    recreate(stack.bootstrap, TARGET)
    stack.configure(CHOICES[choice](filled.keys))
    try:
        run_job(stack, row, "jobs.ingestion", [], "ingestion", filled, SLOTS)
    finally:
        stack.configure()
    # With the markers of transactions and the pulses.
    row.details["offsets_written"] = end_offset(stack.bootstrap, TARGET)
    row.details["counted_in_postgres"] = stack.counted()
    recreate(stack.bootstrap, TARGET)
    return row
