"""What comes back from the centre: rules as they are published, and anomalies of the application, each tenant's own alone."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import count
from typing import Any

import grpc
import pytest

from schemas.pb.llm.sentinel.v1 import ingestion_pb2 as pb
from schemas.pb.llm.sentinel.v1.ingestion_pb2_grpc import TelemetryIngestionStub
from sentinel.config.load import parse_config
from services.gateway.sidecar_link import SidecarLink
from tests.sidecar.test_local_rules import SLOW_CALLS, slow
from tests.support.doors import TOKEN, TOKENS, OpenDoors, event, lines
from tests.support.kafka import Broker
from tests.support.sidecars import Beside, OpenSidecar
from tests.support.streams import Sent, produce
from tests.support.waiting import wait_for

_versions = count(1)


@pytest.fixture(scope="module")
def topics(broker: Broker) -> Iterator[str]:
    broker.topic("sentinel-config", partitions=1)
    broker.topic("llm-anomalies", partitions=3)
    yield broker.bootstrap


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIDECAR_TEST_TOKEN", TOKEN)


def publish(bootstrap: str, document: dict[str, Any]) -> int:
    version = next(_versions)
    snapshot = parse_config(json.dumps(document), "test").config.to_snapshot()
    record = json.dumps({"version": version, "config": snapshot}).encode()
    produce(bootstrap, [Sent(record, time.time_ns() // 1_000_000, b"global")], "sentinel-config")
    return version


def at_version(beside: Beside, version: int) -> None:
    wait_for(
        lambda: beside.metric("sentinel_sidecar_config_version"),
        20,
        f"version {version}",
        until=lambda found: found == version,
        pause_s=0.1,
    )


def rule(name: str, limit: int) -> dict[str, Any]:
    return SLOW_CALLS | {"id": name, "config": {"metric": "latency_ms", "value": limit}}


def test_rules_and_privacy_follow_what_is_published(topics: str, open_doors: OpenDoors, open_sidecar: OpenSidecar) -> None:
    version = publish(topics, {"detection": {"detectors": {"items": [rule("first", 5_000)]}}})
    doors = open_doors(live_config=True)
    beside = open_sidecar(doors.grpc)
    at_version(beside, version)
    beside.send([slow()])
    assert [one["detector_id"] for one in beside.anomalies()] == ["first"]
    changed = {"detection": {"detectors": {"items": [rule("second", 8_000)]}}, "ingestion": {"privacy": {"kinds": {"email": "off"}}}}
    at_version(beside, publish(topics, changed))
    beside.send([slow(), event(data={"status": "success", "latency_ms": 1, "response": "a@example.org"})])
    assert sorted(one["detector_id"] for one in beside.anomalies()) == ["first", "second"]
    assert beside.metric('sentinel_sidecar_redacted_values_total{kind="email"}') == 0
    # A gateway that goes leaves the rules as they are.
    doors.close()
    wait_for(lambda: beside.metric("sentinel_sidecar_link_connected"), 20, "the link to break", until=lambda up: up == 0, pause_s=0.1)
    beside.send([slow(application_id="other")])
    assert len(beside.anomalies(detector_id="second")) == 2


def test_costs_are_those_of_the_centres_prices(topics: str, open_doors: OpenDoors, open_sidecar: OpenSidecar) -> None:
    dear = rule("dear", 0) | {"config": {"metric": "cost", "value": 1.0}}
    price = {"inputUsdPerMillion": 1_000_000, "outputUsdPerMillion": 2_000_000}
    answer = event(data={"status": "success", "latency_ms": 1, "model": "own-model", "prompt_tokens": 1, "completion_tokens": 2})
    doors = open_doors(live_config=True)
    beside = open_sidecar(doors.grpc, detection={"detectors": {"source": "inline", "items": [dear]}})
    beside.send([answer])
    assert beside.anomalies() == [], "nobody has told a price"
    version = publish(topics, {"detection": {"detectors": {"items": [dear]}}, "ingestion": {"pricing": {"models": {"own-model": price}}}})
    beside = open_sidecar(doors.grpc)
    at_version(beside, version)
    beside.send([answer])
    [found] = beside.anomalies()
    assert found["metrics"]["observed_value"] == 5.0
    stored = wait_for(doors.events, 20, "the events", until=lambda events: len(events) == 2, pause_s=0.1)
    assert {one["data"].get("cost") for one in stored} == {None, 5.0}


def test_a_sidecar_is_told_the_rules_of_its_tenants_alone(topics: str, open_doors: OpenDoors, open_sidecar: OpenSidecar) -> None:
    document = {
        "detection": {
            "detectors": {
                "items": [
                    rule("everybody", 5_000)
                    | {"actions": [{"type": "shield", "config": {"action": "block", "endpoint": "shield.internal:9090"}}]},
                    rule("others", 5_000) | {"scope": {"tenants": ["initech", "umbrella*"]}},
                ]
            }
        },
        "alerting": {"definitions": []},
        "tenants": {
            "acme": {"detectors": {"items": [rule("of-acme", 5_000)]}},
            "initech": {"detectors": {"items": [rule("of-initech", 5_000)], "disabled": ["everybody"]}, "privacy": {"action": "drop"}},
        },
    }
    version = publish(topics, document)
    doors = open_doors({"authentication": TOKENS}, live_config=True)
    beside = open_sidecar(doors.grpc, forwarding={"central": {"token": "${SIDECAR_TEST_TOKEN}"}})
    at_version(beside, version)
    view = beside.running._centre_view
    assert view is not None and {one.id for one in view.detectors} == {"everybody", "of-acme"}
    assert not [word for word in (b"initech", b"umbrella", b"shield.internal") if word in view.to_json()]
    assert view.tenant_id == "acme", "the token's first tenant is that of events that name none"
    beside.send([slow(), slow(tenant_id="globex")])
    found = {(one["tenant_id"], one["detector_id"]) for one in beside.anomalies()}
    assert found == {("acme", "everybody"), ("acme", "of-acme"), ("globex", "everybody")}
    stored = wait_for(doors.events, 20, "the events", until=lambda events: len(events) == 2, pause_s=0.1)
    assert sorted(one["tenant_id"] for one in stored) == ["acme", "globex"]


def test_an_answer_without_latency_is_taken_where_its_request_tells_it(
    topics: str, open_doors: OpenDoors, open_sidecar: OpenSidecar
) -> None:
    """As at the gateway, from the configuration that both follow: for the tenant that pairs, once it is published, until it is taken back."""
    secrets = {"id": "quotes", "type": "rule", "strategy": "pattern", "config": {"fields": ["response"], "patterns": ["(?i)project x"]}}
    quick = rule("quick", 1) | {"config": {"metric": "latency_ms", "condition": "less_than", "value": 1}}
    detection = {"detectors": {"items": [secrets, quick]}}
    paired = {"globex": {"pairRequests": True}, "initech": {"pairRequests": True}}
    data = {"status": "success", "model": "gpt-4", "response": "about Project X, write to a@example.org"}
    bare = event(data=data, correlation_id="c", tenant_id="globex")
    doors = open_doors({"authentication": TOKENS}, live_config=True)
    beside = open_sidecar(
        doors.grpc,
        forwarding={"central": {"token": "${SIDECAR_TEST_TOKEN}"}, "filters": {"exclude": {"metadata": {"internal": "true"}}}},
    )

    def refused(sent: list[dict[str, Any]]) -> list[tuple[int, str, str]]:
        with grpc.insecure_channel(beside.grpc) as channel:
            batch = pb.BatchTelemetryRequest(json_events=[json.dumps(one).encode() for one in sent])
            answer = TelemetryIngestionStub(channel).BatchTelemetry(batch, timeout=20)
        assert answer.accepted_count + len(answer.rejections) == len(sent)
        return [(one.index, one.field, one.found) for one in answer.rejections]

    lacking = ("$.data.latency_ms", "nothing")
    at_version(beside, publish(topics, {"detection": detection}))
    assert refused([bare]) == [(0, *lacking)]
    at_version(beside, publish(topics, {"detection": detection, "tenants": paired}))
    view = beside.running._centre_view
    assert view is not None and view.pairing.tenants == {"globex": True}, "of its own tenants alone"
    alone, foreign = event(data=data, tenant_id="globex"), bare | {"tenant_id": "acme"}
    internal = bare | {"metadata": {"tags": {"internal": "true"}}}
    assert refused([event(), bare, alone, foreign, internal]) == [(2, *lacking), (3, *lacking)]
    assert [one["detector_id"] for one in beside.anomalies()] == ["quotes"], "no rule takes it for an answer in no time"
    stored = wait_for(doors.events, 20, "the events", until=lambda events: len(events) == 2, pause_s=0.1)
    [passed_on] = [one for one in stored if one["tenant_id"] == "globex"]
    assert passed_on["event_id"] == bare["event_id"] and "latency_ms" not in passed_on["data"]
    assert passed_on["data"]["response"] == "about Project X, write to [EMAIL]"
    assert beside.metric("sentinel_sidecar_filtered_events_total") == 1 and beside.books() == 0
    at_version(beside, publish(topics, {"detection": detection}))
    assert refused([bare]) == [(0, *lacking)]
    answer = doors.post(lines([bare]), authorization=f"Bearer {TOKEN}")
    assert answer.status_code == 400 and answer.json()["rejections"][0]["field"] == "$.data.latency_ms"


def test_anomalies_of_the_application_come_back(topics: str, open_doors: OpenDoors, open_sidecar: OpenSidecar) -> None:
    doors = open_doors({"authentication": TOKENS}, live_config=True)
    beside = open_sidecar(doors.grpc, forwarding={"central": {"token": "${SIDECAR_TEST_TOKEN}"}})
    link = doors.running._link
    assert isinstance(link, SidecarLink)
    wait_for(lambda: link.followers and link._tail.reading.is_set(), 20, "the gateway to stand at the end of the topic", pause_s=0.05)

    def anomaly(identity: str, **changes: Any) -> Sent:
        fields = {"anomaly_id": identity, "tenant_id": "acme", "application_id": "chat", "severity": "warning", "score": 0.7, "count": 3}
        return Sent(json.dumps(fields | changes).encode(), time.time_ns() // 1_000_000, identity.encode())

    others = [anomaly("of-another-tenant", tenant_id="initech"), anomaly("of-another-application", application_id="mail")]
    produce(
        topics,
        [*others, anomaly("shadow", status="shadow"), Sent(b"{", 1), anomaly("mine"), anomaly("globex", tenant_id="globex")],
        "llm-anomalies",
    )
    found = wait_for(beside.anomalies, 20, "the anomalies", until=lambda found: len(found) == 2, pause_s=0.1)
    assert {one["anomaly_id"] for one in found} == {"mine", "globex"} and {one["origin"] for one in found} == {"centre"}
    assert beside.metric("sentinel_sidecar_centre_anomalies_total") == 2
    produce(topics, [anomaly("mine", count=9)], "llm-anomalies")
    wait_for(lambda: beside.anomalies(tenant_id="acme"), 20, "the update", until=lambda found: found[0]["count"] == 9, pause_s=0.1)


def test_a_wrong_token_hears_nothing(open_doors: OpenDoors, open_sidecar: OpenSidecar, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIDECAR_TEST_TOKEN", "nobody's")
    doors = open_doors({"authentication": TOKENS})
    beside = open_sidecar(doors.grpc, forwarding={"central": {"token": "${SIDECAR_TEST_TOKEN}"}})
    beside.send([event()])
    wait_for(lambda: beside.metric("sentinel_sidecar_retries_total"), 20, "an attempt to be turned away", pause_s=0.1)
    link = doors.running._link
    assert link is not None and link.followers == 0 and beside.metric("sentinel_sidecar_link_connected") == 0
