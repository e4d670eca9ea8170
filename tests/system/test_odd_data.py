"""Odd data and faulty detectors on the running job: whatever comes, the job goes on, scores are sane, and what throws is said and stops no other."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.support.configuration import SLOW_MS, configuration, detector, detectors
from tests.support.receivers import Receivers
from tests.support.stack import Stack
from tests.support.streams import Sent
from tests.support.telemetry import MINUTE_MS, Segments, event, record, request, response
from tests.support.throwing import THROWS
from tests.support.waiting import wait_for

pytestmark = pytest.mark.stack

TENANT = f"odd-{uuid4().hex[:8]}"
MINUTES = 8
APPLICATIONS = 1_000
"""Of one event each."""
SERIES = ("auto", "robust", "seasonal", "change_point", "flat_line", "zscore", "moving_average", "percentile")
EXPLODING = {"id": "exploding", "pattern": r"(a+)+$"}
ANY = {"any": {"not": {"status": "never"}}}
Moment = tuple[int, Sent]
"""When a record is sent, in the order of the others (epoch ms), and the record."""


def _detectors() -> list[dict[str, Any]]:
    series = [
        detector(strategy, strategy, "info", metric="tokens_per_request" if number % 2 else "latency_ms") | {"type": "statistical"}
        for number, strategy in enumerate(SERIES)
    ]
    return [
        *detectors(),
        *series,
        detector("throws", "custom", "warning", detector="throws-on-purpose", level="application"),
        detector("exploding", "pattern", "info", fields=["prompt"], patterns=[EXPLODING]),
        detector("often", "cep", "info", by="user", events=ANY, sequence=[{"event": "any", "times": 1000}], within="60s"),
        *(
            detector(f"{name}-of-users", "aggregation", "info", by="user", function=name, metric="latency_ms", value=1e8)
            for name in ("avg", "max")
        ),
    ]


def _call(at_ms: int, application: str, sent_ms: int | None = None, **data: Any) -> Moment:
    return sent_ms or at_ms, record(response(at_ms, TENANT, application, **data), at_ms)


def _moments(start_ms: int) -> Iterator[Moment]:
    """Each application is odd in another way."""
    for n in range(MINUTES * 100):
        at_ms = start_ms + n * 600
        yield _call(at_ms, "constant", latency_ms=7.0, total_tokens=3)
        yield _call(at_ms, "extremes", latency_ms=0.0 if n % 2 else 1e9, total_tokens=0 if n % 3 else 1_000_000_000)
        yield _call(at_ms, THROWS, latency_ms=SLOW_MS + 1.0 if n == 400 else 100.0 + n % 9)
        # Forward by minutes and back again.
        yield _call(start_ms + n % 7 * 40_000, "clock-jumps", sent_ms=at_ms)
    for n in (0, 1, 95, 96, 290, 477):
        yield _call(start_ms + n * 1000, "gaps", latency_ms=5.0)
    for n in range(2_000):
        at_ms = start_ms + 30_000 + n * 10
        failed = event("llm.error", at_ms, TENANT, "one-key", {"error_type": "timeout"}, metadata={"user_id": "one", "session_id": "one"})
        yield at_ms, record(failed, at_ms)
        asked = request(at_ms, TENANT, "many-keys") | {"metadata": {"user_id": f"u{n}", "session_id": f"s{n}"}}
        asked["data"]["model"] = f"m{n % 100}"
        yield at_ms, record(asked, at_ms)
    for n in range(APPLICATIONS):
        yield _call(start_ms + 60_000 + n, f"app-{n}")
    for n, prompt in enumerate(("a" * 20_000 + "?", "a" * 20_000)):
        at_ms = start_ms + 90_000 + n
        yield at_ms, record(request(at_ms, TENANT, "regex", prompt), at_ms)


@pytest.fixture(scope="module")
def sent(stack: Stack, segments: Segments, receivers: Receivers) -> int:
    """Everything, sent and closed; how many records."""
    config = configuration(receivers)
    config["detection"]["detectors"]["items"] = _detectors()
    stack.apply(config)
    time.sleep(2.0)
    start_ms = segments.take(MINUTES + 3)
    records = [found for _, found in sorted(_moments(start_ms), key=lambda moment: moment[0])]
    stack.send_closed(records, start_ms, start_ms + MINUTES * MINUTE_MS)
    return len(records)


def test_every_record_counts_and_the_job_goes_on(stack: Stack, sent: int) -> None:
    found = wait_for(lambda: stack.counters(TENANT), 120, "all records in the counters", until=lambda kinds: sum(kinds.values()) == sent)
    assert set(found) <= {"valid", "late"}, "what a clock that jumps back sends may be late; nothing of it is refused"
    stack.require_undisturbed("standalone")


def test_findings_and_scores_are_sane(stack: Stack, sent: int) -> None:
    sql = "SELECT detector_id, application_id, count, record FROM sentinel.anomalies WHERE tenant_id = %s"
    wanted = {("slow-call", "extremes"), ("exploding", "regex"), ("often", "one-key"), ("many-errors", "one-key")}
    rows = wait_for(lambda: stack.rows(sql, TENANT), 60, "what is to be found", until=lambda found: wanted <= {row[:2] for row in found})
    assert [row[2] for row in rows if row[0] == "exploding"] == [1], "of two long texts one matches"
    assert not [row[:2] for row in rows if row[1] in ("constant", "gaps", "many-keys", "clock-jumps") or row[1].startswith("app-")]
    for *_, found in rows:
        anomaly = found if isinstance(found, dict) else json.loads(found)
        assert 0.0 <= anomaly["score"] <= 1.0
        assert all(math.isfinite(value) for value in anomaly["metrics"].values()), anomaly


def test_a_detector_that_throws_is_said_and_stops_no_other(stack: Stack, sent: int) -> None:
    sql = """SELECT application_id, record #>> '{labels,failed_detector}', min(description), sum(count)::int FROM sentinel.anomalies
             WHERE tenant_id = %s AND detector_id = 'detector-failure' GROUP BY 1, 2"""
    # The first report comes at once, the count in its updates: each time is counted.
    reported = wait_for(lambda: stack.rows(sql, TENANT), 60, "a report of each time", until=lambda rows: bool(rows) and rows[0][3] > 100)
    ((application, failed, description, _count),) = reported
    assert (application, failed) == (THROWS, "throws") and "threw RuntimeError: broken on purpose" in description
    of_others = "SELECT count(*) FROM sentinel.anomalies WHERE tenant_id = %s AND application_id = %s AND detector_id = 'slow-call'"
    assert stack.value(of_others, TENANT, THROWS) == 1
    listed = json.loads(stack.sentinel("detectors", "failures", "-o", "json").stdout)
    assert [row["detector"] for row in listed if row["application_id"] == THROWS] == ["throws"]
