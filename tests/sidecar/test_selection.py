"""Filters by type and metadata, and a sample that is the same wherever it is drawn."""

from __future__ import annotations

import json
import time
from typing import Any

from sentinel.events.decode import decode_batch
from sentinel.events.model import Event
from sentinel.events.selection import Selection, TraceSample
from tests.support.doors import event


def decoded(**changes: Any) -> Event:
    [found] = decode_batch([json.dumps(event(**changes)).encode()], [int(time.time() * 1000)]).events
    return found


def test_types_and_metadata() -> None:
    response, error = decoded(), decoded(event_type="llm.error", data={"error_type": "timeout"})
    assert Selection().wants(response)
    only_errors = Selection(included_types=frozenset(["llm.error"]))
    assert only_errors.wants(error) and not only_errors.wants(response)
    assert not Selection(excluded_types=frozenset(["llm.error"])).wants(error)
    without = Selection(excluded_metadata={"internal": "true", "environment": "dev", "user_id": "robot"})
    assert without.wants(response)
    assert without.wants(decoded(metadata={"tags": {"internal": "false", "other": "true"}, "environment": "prod"}))
    for metadata in ({"tags": {"internal": "true"}}, {"environment": "dev"}, {"user_id": "robot"}):
        assert not without.wants(decoded(metadata=metadata)), metadata


def test_a_trace_is_kept_whole_and_by_every_larger_sample() -> None:
    traces = [f"trace-{number}" for number in range(2_000)]
    kept: dict[float, set[str]] = {}
    for ratio in (0.0, 0.1, 0.5, 1.0):
        sample = TraceSample(ratio)
        kept[ratio] = {trace for trace in traces if sample.keeps(decoded(correlation_id=trace))}
        again = {
            trace
            for trace in traces
            if sample.keeps(decoded(correlation_id=trace, event_type="llm.metric", data={"metric_name": "m", "value": 1}))
        }
        assert kept[ratio] == again
    assert kept[0.0] == set() and kept[1.0] == set(traces)
    assert kept[0.1] < kept[0.5]
    assert 140 < len(kept[0.1]) < 260 and 880 < len(kept[0.5]) < 1_120, "within six standard deviations"


def test_the_trace_id_goes_before_the_correlation_id_and_some_types_always_pass() -> None:
    trace = {"trace_id": "t", "span_id": "s", "name": "tool", "duration_ms": 1}
    sample = TraceSample(0.5, frozenset(["llm.error"]))
    fates = {sample.keeps(decoded(event_type="llm.trace", data=trace, correlation_id=str(number))) for number in range(50)}
    assert len(fates) == 1
    assert all(sample.keeps(decoded(event_type="llm.error", data={"error_type": "x"}, correlation_id=str(number))) for number in range(50))
    assert {sample.keeps(decoded()) for _ in range(50)} == {True, False}, "without both, each event is drawn by itself"
