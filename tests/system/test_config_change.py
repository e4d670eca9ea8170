"""`sentinel config apply` on a running job: in force everywhere within 2 s, and a wrong file changes nothing."""

from __future__ import annotations

import copy
import itertools
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from sentinel.settings import JobSettings
from tests.support.configuration import SLOW_MS, configuration, detector
from tests.support.receivers import Receivers
from tests.support.stack import Stack
from tests.support.streams import PARTITIONS, Sent
from tests.support.telemetry import Segments, record, response
from tests.support.waiting import wait_for

pytestmark = pytest.mark.stack

IN_FORCE_S = 2.0
"""The guarantee: how long after `apply` the old version may still be applied."""
APPLICATIONS = 16
"""Enough that every partition, every shard's subtask and every subtask of the keyed operators has some."""


def _wave(tenant: str, start_ms: int) -> list[Sent]:
    """For each application one slow call (a per-event rule) and ten failed ones (a detector on panes), on all partitions."""
    records = []
    for number in range(APPLICATIONS):
        application = f"app-{number}"
        partition = number % PARTITIONS
        slow_ms = start_ms + 500
        records.append(record(response(slow_ms, tenant, application, latency_ms=SLOW_MS + 1.0), slow_ms, partition))
        for second in range(10):
            at_ms = start_ms + 1000 * second
            records.append(record(response(at_ms, tenant, application, status="error"), at_ms, partition))
    return sorted(records, key=lambda sent: sent.timestamp_ms)


def _versions(stack: Stack, tenant: str) -> dict[tuple[str, str], set[int]]:
    """(detector, application) → versions on all records of the topic, first ones and updates."""
    found: dict[tuple[str, str], set[int]] = {}
    for stored in stack.topic("llm-anomalies"):
        anomaly = stored.json()
        if anomaly["tenant_id"] == tenant:
            found.setdefault((anomaly["detector_id"], anomaly["application_id"]), set()).add(anomaly["config_version"])
    return found


def _complete(found: dict[tuple[str, str], set[int]]) -> bool:
    return len(found) == 2 * APPLICATIONS


def _changed(config: dict[str, Any], mark: str) -> dict[str, Any]:
    changed = copy.deepcopy(config)
    changed["metadata"]["name"] = mark
    return changed


def test_a_new_version_is_in_force_in_every_subtask(stack: Stack, segments: Segments, receivers: Receivers) -> None:
    config = configuration(receivers)
    old = stack.apply(_changed(config, f"before-{uuid4().hex[:6]}"))
    time.sleep(2 * IN_FORCE_S)
    before, start_ms = f"before-{uuid4().hex[:8]}", segments.take(5)
    stack.send_closed(_wave(before, start_ms), start_ms, start_ms + 60_000)
    seen = wait_for(
        lambda: _versions(stack, before), 180, "anomalies of both detectors for every application", until=_complete, pause_s=2.0
    )
    assert set().union(*seen.values()) == {old}

    new = stack.apply(_changed(config, f"after-{uuid4().hex[:6]}"))
    assert new == old + 1
    time.sleep(IN_FORCE_S)
    # What is produced from here on is past the guarantee, whatever the machine is doing besides.
    after, start_ms = f"after-{uuid4().hex[:8]}", segments.take(5)
    stack.send_closed(_wave(after, start_ms), start_ms, start_ms + 60_000)
    seen = wait_for(lambda: _versions(stack, after), 180, "anomalies under the new version", until=_complete, pause_s=2.0)
    assert {key: versions for key, versions in seen.items() if versions != {new}} == {}, f"expected version {new} alone"
    sql = "SELECT min(config_version), max(config_version) FROM sentinel.alerts WHERE tenant_id = %s"
    wait_for(lambda: stack.rows(sql, after), 60, "alerts under the new version", until=lambda rows: rows == [(new, new)])


def test_the_delay_is_measured(stack: Stack, segments: Segments, receivers: Receivers) -> None:
    """Slow calls on every partition all the time while the version changes: when was the last one sent that met the old version?"""
    tenant, start_ms = f"delay-{uuid4().hex[:8]}", segments.take(5)
    sent_s: dict[str, float] = {}
    over = threading.Event()

    def send() -> Iterator[Sent]:
        for number in itertools.count():
            for partition in range(PARTITIONS):
                # An application of its own each time: no folding joins events before and after the change.
                application = f"app-{partition}-{number}"
                sent_s[application] = time.time()
                at_ms = start_ms + number
                yield record(response(at_ms, tenant, application, latency_ms=SLOW_MS + 1.0), at_ms, partition)
            if over.wait(0.05):
                return

    sender = threading.Thread(target=lambda: stack.produce(send()))
    sender.start()
    time.sleep(1.0)
    new = stack.apply(_changed(configuration(receivers), f"delay-{uuid4().hex[:6]}"))
    time.sleep(2 * IN_FORCE_S)
    over.set()
    sender.join(60)
    published = stack.value("SELECT extract(epoch FROM created_at)::float FROM sentinel.config_versions WHERE version = %s", new)
    found = wait_for(
        lambda: _versions(stack, tenant), 120, "an anomaly of each", until=lambda found: len(found) == len(sent_s), pause_s=2.0
    )
    old = [sent_s[application] - published for (_, application), versions in found.items() if versions == {new - 1}]
    assert old and len(old) < len(found), "events before and after the change"
    print(f"config change: {len(found)} events; the last one that met the old version was sent {max(old):.3f} s after it was published")
    assert max(old) <= IN_FORCE_S


def test_a_detector_that_is_added_works_at_once(stack: Stack, segments: Segments, receivers: Receivers) -> None:
    config = configuration(receivers)
    added = copy.deepcopy(config["detection"]["detectors"]["items"][0]) | {"id": "slower-call", "name": "slower-call"}
    added["config"]["value"] = 10 * SLOW_MS
    config["detection"]["detectors"]["items"].append(added)
    stack.apply(config)
    time.sleep(IN_FORCE_S)
    tenant, start_ms = f"added-{uuid4().hex[:8]}", segments.take(5)
    stack.produce([record(response(start_ms, tenant, "chat", latency_ms=20.0 * SLOW_MS), start_ms)])
    wait_for(
        lambda: {name for name, _ in _versions(stack, tenant)},
        60,
        "the added rule to fire",
        until=lambda found: found == {"slow-call", "slower-call"},
    )


def test_rules_with_memory_are_added_while_running(stack: Stack, segments: Segments, receivers: Receivers) -> None:
    """A sequence over two partitions, an aggregate that only single events tell, and a composite of both kinds of detectors."""
    config = configuration(receivers)
    events = {"slow": {"metric": "latency_ms", "value": SLOW_MS}, "failed": {"status": "error"}}
    config["detection"]["detectors"]["items"] += [
        detector("slow-then-failed", "cep", "critical", events=events, sequence=["slow", "failed"], within="30s"),
        detector(
            "tokens-p90", "aggregation", "warning", function="percentile", percentile=90, metric="total_tokens", window="10s", value=140
        ),
        detector("slow-and-failing", "composite", "warning", all=[{"detector": "slow-call", "within": "1m"}, {"detector": "many-errors"}]),
    ]
    stack.apply(config)
    time.sleep(IN_FORCE_S)
    tenant, start_ms = f"rules-{uuid4().hex[:8]}", segments.take(5)
    slow = record(response(start_ms + 500, tenant, "chat", latency_ms=SLOW_MS + 1.0), start_ms + 500, 0)
    failed = record(response(start_ms + 8_000, tenant, "chat", status="error"), start_ms + 8_000, PARTITIONS - 1)
    stack.send_closed([slow, failed], start_ms, start_ms + 60_000)
    wanted = {"slow-call", "many-errors", "slow-then-failed", "tokens-p90", "slow-and-failing"}
    wait_for(
        lambda: {name for name, _ in _versions(stack, tenant)}, 120, "the rules to fire", until=lambda found: found >= wanted, pause_s=2.0
    )
    sql = "SELECT sample_events, description FROM sentinel.anomalies WHERE tenant_id = %s AND detector_id = 'slow-then-failed'"
    ((samples, description),) = wait_for(lambda: stack.rows(sql, tenant), 60, "its row", until=lambda rows: len(rows) == 1)
    assert samples == [json.loads(sent.value)["event_id"] for sent in (slow, failed)]
    assert description == "Slow, then failed within 30 s; it took 7.5 s (chat)"


def test_a_wrong_config_is_refused_and_changes_nothing(stack: Stack, receivers: Receivers, tmp_path: Path) -> None:
    version = stack.value("SELECT max(version) FROM sentinel.config_versions")
    published = stack.topic("sentinel-config")[-1].json()["version"]
    config = configuration(receivers)
    config["detection"]["detectors"]["items"][0]["config"]["metrik"] = "latency_ms"
    config["alerting"]["grouping"]["groupWait"] = "soon"
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump(config))
    done = stack.sentinel("config", "apply", str(path), ok=False)
    said = done.stderr.decode()
    assert done.returncode == 1
    for part in (str(path), "detection.detectors.items", "metrik", "metric", "alerting.grouping.groupWait", "soon"):
        assert part in said, f"{part!r} is missing in: {said}"
    assert stack.value("SELECT max(version) FROM sentinel.config_versions") == version
    assert stack.topic("sentinel-config")[-1].json()["version"] == published


def test_event_time_stays_with_telemetry_while_it_is_quiet(stack: Stack, segments: Segments, receivers: Receivers) -> None:
    """The configuration is an input of the detectors too: neither a new version nor the quiet may move their event time."""
    start_ms = segments.take(5)
    stack.send_closed([], start_ms, start_ms + 60_000)
    wait_for(lambda: _detectors_at_ms(stack), 120, "the detectors to follow", until=lambda at: at >= start_ms)
    stack.apply(_changed(configuration(receivers), f"quiet-{uuid4().hex[:6]}"))
    # Longer than every idle timeout, and than the 10 s for which the REST API keeps a metric.
    time.sleep(JobSettings().idle_ms / 1000 + 15.0)
    assert _detectors_at_ms(stack) < time.time() * 1000


def _detectors_at_ms(stack: Stack) -> int:
    """The event time that the detectors on panes have reached, of the subtask that is furthest."""
    vertices = stack.rest.call(f"/jobs/{stack.job_id('standalone')}")["vertices"]
    vertex = next(vertex["id"] for vertex in vertices if vertex["name"].startswith("panes of a shard"))
    names = [f"{subtask}.panes_of_a_shard.currentOutputWatermark" for subtask in range(2)]
    metrics = stack.rest.entries(f"/jobs/{stack.job_id('standalone')}/vertices/{vertex}/metrics?get={','.join(names)}")
    return max((int(metric["value"]) for metric in metrics), default=-1)
