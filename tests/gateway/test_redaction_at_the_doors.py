"""No planted value of a person passes a door: not in prompts, not in fields of the producer's own, not through any encoding."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any

import grpc
import pytest

from schemas.pb.llm.sentinel.v1 import ingestion_pb2 as pb
from schemas.pb.llm.sentinel.v1.ingestion_pb2_grpc import TelemetryIngestionStub
from sentinel.config.model import SentinelConfig
from services.gateway.journal import BufferLimits
from services.gateway.settings import GatewaySettingsError, enrichment_of
from tests.support import planted
from tests.support.doors import Doors, OpenDoors, event, lines
from tests.support.telemetry import without_event_ids

MAIL, CARD, IBAN = "ada.lovelace@example.org", "4111 1111 1111 1111", "DE89 3704 0044 0532 0130 00"


def prompt(text: str, **changes: Any) -> dict[str, Any]:
    return event(event_type="llm.request", data={"model": "gpt-4", "prompt": text}, **changes)


def test_planted_values_reach_neither_kafka_nor_the_answer(doors: Doors) -> None:
    sent = [
        prompt(f"write to {MAIL}\nand pay with {CARD}"),
        event(data={"status": "success", "latency_ms": 1, "response": f"transfer it to {IBAN}", "own": {"list": [f"({MAIL})"], CARD: 1}}),
        event(event_type="llm.error", data={"error_type": "x", "message": f"no account {MAIL}"}),
        event(metadata={"user_id": MAIL, "session_id": "s-1", "tags": {"mail": MAIL}}, correlation_id=MAIL),
        event(event_type="llm.metric", data={"metric_name": "m", "value": 1, "dimensions": {"card": CARD}}),
    ]
    clean = [event(data={"status": "success", "latency_ms": 3.25, "response": "nothing here", "own": 1e3}), prompt("plain")]
    escaped = json.dumps(prompt("m")).replace('"m"', '"' + "".join(f"\\u{ord(letter):04x}" for letter in MAIL) + '"')
    answer = doors.post(lines([*sent, *clean]) + b"\n" + escaped.encode())
    assert answer.status_code == 202
    stored = [record.value for record in doors.records()]
    as_stored = without_event_ids(b"\n".join(stored).decode())
    read_and_written = without_event_ids(json.dumps([json.loads(one) for one in stored]))
    for value in (MAIL, CARD, IBAN, MAIL.partition("@")[0], "4111"):
        assert value not in as_stored and value not in read_and_written
    by_id = {json.loads(one)["event_id"]: json.loads(one) for one in stored}
    assert by_id[sent[0]["event_id"]]["data"]["prompt"] == "write to [EMAIL]\nand pay with [CREDIT_CARD]"
    metadata = by_id[sent[3]["event_id"]]["metadata"]
    assert metadata["user_id"].startswith("[EMAIL#") and metadata["session_id"] == "s-1" and metadata["tags"] == {"mail": "[EMAIL]"}
    assert by_id[sent[3]["event_id"]]["correlation_id"] == metadata["user_id"], "one person stays one"
    for one in clean:
        assert json.dumps(one).encode() in stored, "an event without a finding is passed on as it was written"
    assert doors.metric("sentinel_gateway_redacted_events_total") == 6
    assert doors.metric('sentinel_gateway_redacted_values_total{kind="credit_card"}') == 3


def test_grpc_and_otlp_redact_as_well(doors: Doors) -> None:
    message = pb.TelemetryEvent(
        application_id="a", source=pb.EventSource(service="s", host="h"), request=pb.RequestData(model="m", prompt=MAIL)
    )
    message.timestamp.GetCurrentTime()
    with grpc.insecure_channel(doors.grpc) as channel:
        assert TelemetryIngestionStub(channel).BatchTelemetry(pb.BatchTelemetryRequest(events=[message])).accepted_count == 1
    span = {"traceId": "0a" * 16, "spanId": "0b" * 8, "startTimeUnixNano": message.timestamp.ToNanoseconds()}
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "m",
        "gen_ai.input.messages": json.dumps([{"content": CARD}]),
        "gen_ai.note": MAIL,
    }
    span |= {
        "endTimeUnixNano": span["startTimeUnixNano"],
        "attributes": [{"key": k, "value": {"stringValue": v}} for k, v in attributes.items()],
    }
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})
    doors.http.post("/v1/traces", content=body, headers={"content-type": "application/json"}).raise_for_status()
    stored = doors.events()
    assert len(stored) == 3 and MAIL not in json.dumps(stored) and CARD not in json.dumps(stored)


def test_policies_of_tenants(open_doors: OpenDoors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_HASH_KEY", "k" * 32)
    doors = open_doors(
        {"privacy": {"action": "hash", "hashKey": "${TEST_HASH_KEY}", "kinds": {"credit_card": "drop"}}},
        tenants={"acme": {"privacy": {"action": "off"}}},
    )
    assert (
        doors.post(lines([prompt(MAIL, tenant_id="acme"), prompt(MAIL, tenant_id="globex"), prompt(CARD, tenant_id="globex")])).status_code
        == 202
    )
    found = sorted(one["data"]["prompt"][:8] for one in doors.events())
    assert found == ["[DROPPED", "[EMAIL#" + found[1][7:], "ada.love"]


def test_what_cannot_be_looked_through_is_refused(doors: Doors) -> None:
    deep: Any = MAIL
    for _ in range(150):
        deep = [deep]
    surrogate = json.dumps(event(data={"status": "success", "latency_ms": 1, "own": "X"})).encode().replace(b'"X"', b'"\xff"')
    answer = doors.post(
        lines([event(data={"status": "success", "latency_ms": 1, "own": deep})]) + b"\n" + surrogate + b"\n" + lines([event()])
    )
    assert answer.status_code == 207 and answer.json()["accepted"] == 1
    assert ["deep" in one["reason"] or "UTF-8" in one["reason"] for one in answer.json()["rejections"]] == [True, True]
    assert len(doors.events()) == 1


def test_hashes_need_their_key() -> None:
    config = SentinelConfig.model_validate({"ingestion": {"privacy": {"action": "hash", "hashKey": "${NOT_SET_ANYWHERE}"}}})
    with pytest.raises(GatewaySettingsError, match="NOT_SET_ANYWHERE"):
        enrichment_of(config)


@pytest.mark.parametrize("action", ["mask", "hash", "drop"])
def test_nothing_of_any_kind_lies_in_the_overflow(
    lonely_doors: OpenDoors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    """What tests/system/test_planted_values.py looks for everywhere else: Kafka is away here."""
    monkeypatch.setenv("TEST_HASH_KEY", "k" * 32)
    doors = lonely_doors({"privacy": {"action": action, "hashKey": "${TEST_HASH_KEY}"}}, limits=BufferLimits(slow_after_s=0.3))
    own, now_ms = planted.plants(random.Random()), round(time.time() * 1000)
    planted.by_http(doors.url, planted.events(own, "acme", "by-http", now_ms, 0))
    planted.by_grpc(doors.grpc, planted.events(own, "acme", "by-grpc", now_ms, 1), own)
    planted.by_otlp_http(f"http://127.0.0.1:{doors.running.ports['otlp-http']}", planted.spans(own, "acme", "otlp-http", now_ms, 2))
    planted.by_otlp_grpc(f"127.0.0.1:{doors.running.ports['otlp-grpc']}", planted.spans(own, "acme", "otlp-grpc", now_ms, 3))
    applications = {b"by-http", b"by-grpc", b"otlp-http", b"otlp-grpc"}
    search = planted.Search([*own.needles(), own.marker.encode(), *applications])
    planted.search_files(search, [tmp_path / doors.topic / "overflow"])
    harmless = applications if action == "drop" else applications | {own.marker.encode()}
    assert search.found.keys() == harmless, {own.needles().get(found) for found in search.found.keys() - harmless}
