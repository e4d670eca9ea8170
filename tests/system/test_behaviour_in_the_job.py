"""The behavioural detectors on the running job: two tenants of the same shape, one calm and one in which somebody does what each of them looks for."""

from __future__ import annotations

import json
import time
from fnmatch import fnmatch
from typing import Any
from uuid import uuid4

import pytest

from tests.support.configuration import configuration
from tests.support.receivers import Receivers
from tests.support.stack import Stack
from tests.support.streams import Sent
from tests.support.telemetry import MINUTE_MS, Segments, record, response
from tests.support.waiting import wait_for

pytestmark = pytest.mark.stack

CALM, BUSY = (f"{name}-{uuid4().hex[:8]}" for name in ("calm", "busy"))
MINUTES, TROUBLE = 8, 6
"""Minutes of traffic, and the one in which it happens."""
OWN = 5
"""Applications with a user each, who keeps to his."""
Found = tuple[str, str, str, str]
"""Detector, application, whom or what it is about, key."""

# What the busy tenant must be told: detector, application, entity, key → baseline, observed, a part of the sentence.
EXPECTED: dict[Found, tuple[Any, float, str]] = {
    ("access", "access", "u1", "model rare"): (0, 1, "Model rare for the first time in 6.02 m and 13 events"),
    ("access", "access", "u2", "region us"): (0, 1, "until now region eu"),
    ("access", "access", "sleeper", "burst after dormancy"): (0, 12, "12 events within a minute after 5.97 m without any"),
    ("relations", "relations", "relations", "model shadow"): (0, 1, "Uses model shadow for the first time in 6.08 m; until now"),
    ("relations", "relations", "u4", ""): (2, 4, "4 models within 60 s, the busiest user has 2"),
    ("relations", "crowd", "crowd", "users"): (6, 12, "12 users within 60 s, usual are 6"),
    # Applications of several shards, of which one may be minutes ahead while all of it comes at once: who was in two may count for one.
    ("everywhere", "own-*", "own-1", ""): (pytest.approx(1.5, abs=0.55), 4, "4 applications within 60 s, the busiest user has"),
    ("shared-key", "crowd", "crowd", "API key leaked"): (1, 8, "8 users within 60 s, the busiest API key has 1"),
    ("profile", "relations", "u5", ""): (pytest.approx(2, rel=0.05), 42, "42 events in one minute, usual are 2"),
}


def _detector(name: str, strategy: str, **config: Any) -> dict[str, Any]:
    actions = [{"alert": name, "severity": "warning"}]
    return {"id": name, "type": "behavioral", "strategy": strategy, "config": {"warmup": "2m", **config}, "actions": actions}


DETECTORS = [
    _detector("access", "access_pattern", minEvents=5, peerShare=0.2, dormantAfter="5m", burstEvents=12),
    _detector("relations", "entity_relationship", window="1m", minModels=4, minUsers=12, minRatio=2, minWindows=3),
    _detector("everywhere", "entity_relationship", watch=["user_applications"], window="1m", minApplications=4, minRatio=2, minWindows=3),
    _detector("shared-key", "entity_relationship", entity="api_key", watch=["key_users"], window="1m", minUsers=8, minWindows=3),
    _detector("profile", "user_profile", metrics=["events"], minMinutes=3, minRatio=4),
]


class Traffic:
    """The calls of one tenant, by (second, application, user)."""

    def __init__(self, tenant: str, start_ms: int) -> None:
        self._tenant, self._start_ms = tenant, start_ms
        self.events: list[tuple[int, dict[str, Any]]] = []

    def call(self, at_s: float, application: str, user: str, model: str = "usual", region: str = "eu", key: str = "") -> None:
        at_ms = self._start_ms + round(at_s * 1000)
        event = response(at_ms, self._tenant, application, model=model)
        tags = {"region": region} | ({"api_key_id": key} if key else {})
        self.events.append((at_ms, event | {"metadata": {"user_id": user, "tags": tags}}))

    def usual(self) -> None:
        """What both tenants do: everybody keeps to his models, his region, his key and his applications."""
        for minute in range(MINUTES):
            for turn in (2, 32):
                at_s = minute * 60.0 + turn
                for user in range(10):
                    self.call(at_s + user, "access", f"u{user}", "usual" if turn == 2 else "other")
                self.call(at_s + 12, "access", "admin", "rare" if turn == 2 else "rarest", region="us")
                for user in range(3, 7):
                    self.call(at_s + user, "relations", f"u{user}", "usual" if turn == 2 else "other")
                self.call(at_s + 12, "relations", "admin", "rare" if turn == 2 else "rarest")
            for user in range(6):
                self.call(minute * 60.0 + 5 + user, "crowd", f"member-{user}", key=f"key-{user}")
            self.call(minute * 60.0 + 20, "crowd", "member-0", key="leaked")
            for number in range(OWN):
                self.call(minute * 60.0 + 25, f"own-{number}", f"own-{number}")
        for second in range(10):
            self.call(second, "access", "sleeper")

    def more(self, trouble: bool) -> None:
        """The minute that tells them apart; the calm ones do a little more of what they always did."""
        at_s = TROUBLE * 60.0
        self.call(at_s + 3, "access", "u1", "rare" if trouble else "other")
        self.call(at_s + 5, "access", "u2", region="us" if trouble else "eu")
        for number in range(12 if trouble else 5):
            self.call(at_s + 7 + number, "access", "sleeper")
        self.call(at_s + 9, "relations", "u3", "shadow" if trouble else "other")
        for number, model in enumerate(("usual", "other", "rare", "rarest") if trouble else ("usual", "other")):
            self.call(at_s + 41 + number, "relations", "u4", model)
        for number in range(40 if trouble else 3):
            self.call(at_s + 15 + 0.5 * number, "relations", "u5")
        for number in range(15 if trouble else 1):
            self.call(at_s + 21 + number, "crowd", f"stranger-{number}", key="leaked" if trouble else "key-stranger")
        for number in range(OWN if trouble else 2):
            self.call(at_s + 40 + number, f"own-{number}", "own-1")


@pytest.fixture(scope="module")
def sent(stack: Stack, segments: Segments, receivers: Receivers) -> dict[str, dict[str, Any]]:
    """Both tenants' traffic, sent and closed; the events by their ids."""
    config = configuration(receivers)
    config["detection"]["detectors"]["items"] = DETECTORS
    stack.apply(config)
    time.sleep(2.0)
    start_ms = segments.take(MINUTES + 3)
    tenants = [Traffic(tenant, start_ms) for tenant in (CALM, BUSY)]
    for traffic in tenants:
        traffic.usual()
        traffic.more(trouble=traffic is tenants[1])
    events = sorted((found for traffic in tenants for found in traffic.events), key=lambda found: found[0])
    records: list[Sent] = [record(event, at_ms) for at_ms, event in events]
    stack.send_closed(records, start_ms, start_ms + MINUTES * MINUTE_MS)
    return {event["event_id"]: event for _, event in events}


def _anomalies(stack: Stack, tenant: str) -> dict[Found, dict[str, Any]]:
    sql = """SELECT detector_id, application_id, entity_id, coalesce(record #>> '{labels,key}', ''), record FROM sentinel.anomalies
             WHERE tenant_id = %s AND detector_id <> 'detector-failure'"""
    found = {}
    for detector, application, entity, key, anomaly in stack.rows(sql, tenant):
        # Which application is the fourth is a matter of their shards, which go on one beside the other.
        place = (detector, "own-*" if detector == "everywhere" and application.startswith("own-") else application, entity, key)
        found[place] = anomaly if isinstance(anomaly, dict) else json.loads(anomaly)
    return found


def test_each_is_found_with_its_evidence(stack: Stack, sent: dict[str, dict[str, Any]]) -> None:
    found = wait_for(lambda: _anomalies(stack, BUSY), 120, "an anomaly of each kind", until=lambda known: len(known) >= len(EXPECTED))
    assert found.keys() == EXPECTED.keys()
    for place, (baseline, observed, sentence) in EXPECTED.items():
        anomaly, (_, application, entity, key) = found[place], place
        figures = anomaly["metrics"]
        assert (figures["baseline_value"], figures["observed_value"]) == (baseline, observed), place
        assert sentence in anomaly["description"], anomaly["description"]
        examples = [sent[name] for name in anomaly["context"]["sample_events"]]
        assert examples, f"{place} names no event"
        assert all(event["tenant_id"] == BUSY and fnmatch(event["application_id"], application) for event in examples)
        users = {event["metadata"]["user_id"] for event in examples}
        assert users == {entity} or anomaly["affected_entity"]["type"] == "application"
        assert not key.startswith("API key ") or {event["metadata"]["tags"]["api_key_id"] for event in examples} == {"leaked"}
        assert not key.startswith("model ") or {event["data"]["model"] for event in examples} == {key.removeprefix("model ")}
        assert stack.rows(anomaly["context"]["evidence_sql"]), "the query behind it answers"


def test_calm_traffic_of_the_same_shape_raises_nothing(stack: Stack, sent: dict[str, dict[str, Any]]) -> None:
    # Every minute of it was judged: the closing of the last one is what both tenants were waited for.
    counted = sum(event["tenant_id"] == CALM for event in sent.values())
    wait_for(lambda: stack.counters(CALM), 120, "all calm events in the counters", until=lambda kinds: kinds == {"valid": counted})
    assert _anomalies(stack, CALM) == {}
