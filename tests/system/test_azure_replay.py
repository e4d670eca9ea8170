"""A recorded production trace at full speed: every row is accounted for."""

from __future__ import annotations

import json

import pytest

from services.stack.paths import project_root
from services.traffic.world import BASE_TENANTS
from tests.support.stack import Stack
from tests.support.waiting import wait_for

pytestmark = pytest.mark.stack

TRACE = project_root().parent / "shared" / "data" / "traces" / "azure-llm-2023-conv.csv"
ROWS = 19_366
KINDS = {"valid", "late", "duplicate", "dlq"}


def _totals(stack: Stack) -> dict[tuple[str, str], int]:
    """Of the trace's tenants, and of events that name none: minutes of other tests' tenants may still be open."""
    sql = "SELECT tenant_id, kind, sum(events)::bigint FROM sentinel.ingest_counters WHERE tenant_id = ANY(%s) GROUP BY 1, 2"
    return {(tenant, kind): count for tenant, kind, count in stack.rows(sql, [*BASE_TENANTS, "unknown"])}


@pytest.mark.skipif(not TRACE.is_file(), reason="the trace azure-llm-2023-conv.csv is not beside the checkout (../shared/data/traces)")
def test_counters_of_a_replayed_trace_sum_to_its_rows(stack: Stack) -> None:
    before = _totals(stack)
    done = stack.sentinel("replay", str(TRACE), "--format", "azure-llm-2023", "--speed", "max", "-o", "json", timeout_s=300)
    summary = json.loads(done.stdout.decode().splitlines()[-1])
    assert (summary["sent"], summary["acked"], summary["failed"]) == (ROWS, ROWS, 0)

    def gained() -> dict[tuple[str, str], int]:
        found = {place: count - before.get(place, 0) for place, count in _totals(stack).items()}
        return {place: count for place, count in found.items() if count}

    counted = wait_for(gained, 300, f"{ROWS:,} records in the counters", until=lambda found: sum(found.values()) >= ROWS, pause_s=2.0)
    print(f"azure trace: {summary['rate']:,.0f} records/s sent; {counted}")
    assert sum(counted.values()) == ROWS
    assert {kind for _, kind in counted} <= KINDS
    assert sum(count for (_, kind), count in counted.items() if kind == "dlq") == 0
    stack.require_undisturbed("standalone")
