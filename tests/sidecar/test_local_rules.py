"""Rules beside the application: the same findings as those of the jobs, shown at once."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np

from sentinel.config.runtime import RuntimeConfig
from sentinel.detection.rules.engine import EventRules
from sentinel.events.columns import columns_of
from sentinel.events.decode import decode_batch
from services.sidecar.findings import FindingCache
from tests.support.doors import Doors, event
from tests.support.sidecars import OpenSidecar, settings_of
from tests.support.waiting import wait_for

SLOW_CALLS = {
    "id": "slow-calls",
    "type": "rule",
    "strategy": "threshold",
    "config": {"metric": "latency_ms", "value": 5_000},
    "actions": [{"alert": "slow", "severity": "critical"}],
}
SECRETS = {"id": "names", "type": "rule", "strategy": "pattern", "config": {"fields": ["response"], "patterns": ["(?i)project x"]}}
ERRORS = {
    "id": "windows",
    "type": "rule",
    "strategy": "threshold",
    "config": {"metric": "error_rate", "value": 0.5, "window": "1m"},
}
DETECTION: dict[str, Any] = {"detectors": {"source": "inline", "items": [SLOW_CALLS, SECRETS, ERRORS]}}


def slow(**changes: Any) -> dict[str, Any]:
    return event(data={"status": "success", "latency_ms": 9_000, "model": "gpt-4o"}, **changes)


def test_findings_are_those_of_the_jobs(doors: Doors, open_sidecar: OpenSidecar) -> None:
    beside = open_sidecar(doors.grpc, detection=DETECTION)
    assert beside.metric("sentinel_sidecar_detectors") == 2, "what needs a window stays at the centre"
    sent = [event(), slow(), event(data={"status": "success", "latency_ms": 1, "response": "about Project X"})]
    beside.send(sent)
    found = {one["detector_id"]: one for one in beside.anomalies()}
    assert found.keys() == {"slow-calls", "names"} and {one["origin"] for one in found.values()} == {"local"}
    # What the job's hop does with the same events.
    config = RuntimeConfig.from_snapshot(7, _snapshot(doors.grpc))
    decoded = decode_batch([json.dumps(one).encode() for one in sent], [int(time.time() * 1000)] * 3).events
    times = [int(one.timestamp.timestamp() * 1000) for one in decoded]
    again = EventRules(config).evaluate(decoded, columns_of(decoded, np.array(times, np.int64)), [one.event_id for one in decoded], 0)
    assert {one.anomaly_id: one.description for one in again} == {one["anomaly_id"]: one["description"] for one in found.values()}
    assert found["slow-calls"]["context"]["sample_events"] == [sent[1]["event_id"]]
    assert beside.anomalies(severity="critical", application_id="chat") == [found["slow-calls"]]
    assert beside.anomalies(user_id="nobody") == []
    assert beside.http.get("/anomalies?sevrity=critical").status_code == 400
    assert beside.metric('sentinel_sidecar_anomalies_total{detector="slow-calls",severity="critical"}') == 1
    beside.send([slow() for _ in range(3)])
    assert beside.metric('sentinel_sidecar_anomalies_total{detector="slow-calls",severity="critical"}') <= 2, "one a window of five minutes"
    # Else they would reach the topic while the next test looks at it.
    wait_for(doors.events, 20, "all that was sent", lambda stored: len(stored) == 6, pause_s=0.1)


def _snapshot(endpoint: str) -> dict[str, Any]:
    from sentinel.config.load import parse_config

    return parse_config(json.dumps({"detection": DETECTION}), endpoint).config.to_snapshot()


def test_what_is_found_is_sent_on_though_the_sample_is_empty(doors: Doors, open_sidecar: OpenSidecar) -> None:
    beside = open_sidecar(doors.grpc, detection=DETECTION, forwarding={"sampling": {"ratio": 0.0}})
    bad = slow()
    beside.send([event() for _ in range(20)] + [bad])
    stored = wait_for(doors.events, 20, "the event that was found", pause_s=0.1)
    assert [one["event_id"] for one in stored] == [bad["event_id"]] and beside.books() == 0


def test_rules_can_be_chosen_and_left_out(doors: Doors, open_sidecar: OpenSidecar) -> None:
    both = [slow(), event(data={"status": "success", "latency_ms": 1, "response": "about Project X"})]
    for local, expected in (({"detectors": [{"type": "pattern"}]}, ["names"]), ({"enabled": False}, []), ({}, ["names", "slow-calls"])):
        beside = open_sidecar(doors.grpc, detection=DETECTION | {"local": local})
        beside.send(both)
        assert sorted(one["detector_id"] for one in beside.anomalies()) == expected, local


def test_rules_judge_the_redacted_text(doors: Doors, open_sidecar: OpenSidecar) -> None:
    mail = {"id": "mail", "type": "rule", "strategy": "pattern", "config": {"fields": ["response"], "patterns": ["@example", r"\[EMAIL\]"]}}
    beside = open_sidecar(doors.grpc, detection={"detectors": {"source": "inline", "items": [mail]}})
    beside.send([event(data={"status": "success", "latency_ms": 1, "response": "write to jane.doe@example.org"})])
    [found] = beside.anomalies()
    assert "[EMAIL]" in found["description"] and "jane" not in json.dumps(found)


def test_a_rule_that_was_taken_away_finds_no_more(doors: Doors, open_sidecar: OpenSidecar) -> None:
    beside = open_sidecar(doors.grpc, detection=DETECTION)
    beside.use(settings_of(doors.grpc, {"detection": {"detectors": {"source": "inline", "items": [SECRETS]}}}))
    beside.send([slow()])
    assert beside.anomalies() == [] and beside.metric("sentinel_sidecar_detectors") == 1


def record(identity: str, **fields: Any) -> bytes:
    return json.dumps({"anomaly_id": identity, **fields}).encode()


def test_the_cache_forgets_by_age_and_size_and_believes_the_centre() -> None:
    now = [0.0]
    cache = FindingCache(3, 10.0, clock=lambda: now[0])
    assert cache.put(record("a", count=1), "local") and not cache.put(record("a", count=2), "centre")
    assert not cache.put(record("a", count=1), "local"), "the centre has counted more"
    assert cache.list({}) == [{"anomaly_id": "a", "count": 2, "origin": "centre"}]
    now[0] = 6.0
    for name in "bcd":
        cache.put(record(name), "local")
    assert [one["anomaly_id"] for one in cache.list({})] == ["d", "c", "b"] and len(cache) == 3
    now[0] = 16.5
    assert cache.list({}) == [] and len(cache) == 0
