"""The HTTP door as curl meets it: what is accepted is in Kafka, what is not is named."""

from __future__ import annotations

import gzip
import json
import uuid

import pytest

from tests.support.doors import TOKEN, TOKENS, Doors, OpenDoors, event, lines


def test_ndjson_an_array_and_one_event_arrive_as_they_were_sent(doors: Doors) -> None:
    sent = [event(data={"status": "success", "latency_ms": number, "own": {"key": "größer"}}) for number in range(5)]
    assert doors.post(lines(sent[:2]) + b"\n\n").json() == {"accepted": 2, "rejected": 0}
    assert doors.post(json.dumps(sent[2:4]).encode(), content_type="application/json").status_code == 202
    zipped = gzip.compress(json.dumps(sent[4]).encode())
    assert doors.post(zipped, content_type="application/json; charset=utf-8", content_encoding="gzip").status_code == 202
    stored = doors.records()
    assert sorted((json.loads(one.value) for one in stored), key=lambda one: one["data"]["latency_ms"]) == sent
    assert {one.key for one in stored} == {b"default|chat"}
    at_ms = {json.loads(one.value)["timestamp"]: one.timestamp_ms for one in stored}
    assert len(at_ms) >= 1 and all(abs(ms - stored[0].timestamp_ms) < 60_000 for ms in at_ms.values())


def test_missing_ids_and_tenants_are_added_and_nothing_else(open_doors: OpenDoors) -> None:
    doors = open_doors({"authentication": TOKENS})
    without = event(metadata={"tags": {"tenant_id": "not the event's own"}})
    del without["event_id"]
    null = event(event_id=None, tenant_id="globex")
    assert doors.post(lines([without, null]), authorization=f"Bearer {TOKEN}").status_code == 202
    first, second = sorted(doors.events(), key=lambda one: one["tenant_id"])
    for stored, tenant in ((first, "acme"), (second, "globex")):
        given = uuid.UUID(stored["event_id"])
        assert given.version == 7 and stored["tenant_id"] == tenant
    assert {**first, "event_id": 0} == {**without, "tenant_id": "acme", "event_id": 0}
    assert {one.key for one in doors.records()} == {b"acme|chat", b"globex|chat"}


def test_good_events_of_a_batch_are_kept_and_the_bad_ones_listed(doors: Doors) -> None:
    bad_type, no_latency, old = event(event_type="llm.nothing"), event(data={"status": "success"}), event(timestamp="2001-01-01T00:00:00Z")
    deep = b'{"own":' + b"[" * 10_000 + b"]" * 10_000 + b"}"
    good = [event() for _ in range(3)]
    batch = [json.dumps(one).encode() for one in (good[0], bad_type, no_latency, good[1], old)]
    answer = doors.post(b"\n".join([*batch, deep, b"{not json", b"sentinel-pulse", json.dumps(good[2]).encode()]))
    assert answer.status_code == 207
    body = answer.json()
    assert (body["accepted"], body["rejected"]) == (3, 6)
    assert [(one["index"], one["field"]) for one in body["rejections"]] == [
        (1, "$.event_type"),
        (2, "$.data.latency_ms"),
        (4, "$.timestamp"),
        (5, "$"),
        (6, "$"),
        (7, "$"),
    ]
    assert "one of llm.request" in body["rejections"][0]["expected"]
    assert sorted(one["event_id"] for one in doors.events()) == sorted(one["event_id"] for one in good)
    assert doors.metric('sentinel_gateway_events_total{door="http",outcome="accepted"}') == 3
    assert doors.metric('sentinel_gateway_events_total{door="http",outcome="rejected"}') == 6


BOMB = gzip.compress(b"\0" * 50_000_000)


@pytest.mark.parametrize(
    ("body", "headers", "status", "field", "said"),
    [
        (b"", {}, 400, "(body)", "at least one event"),
        (b"{}", {"content_type": "text/plain"}, 415, "content-type", "application/json"),
        (b"{}", {"content_encoding": "br"}, 415, "content-encoding", "gzip"),
        (b"not gzip", {"content_encoding": "gzip"}, 400, "(body)", "not gzip"),
        (gzip.compress(lines([event()]))[:-20], {"content_encoding": "gzip"}, 400, "(body)", "cut off"),
        (BOMB, {"content_encoding": "gzip"}, 413, "(body)", "1,000,000 bytes"),
        (b" " * 1_000_001, {}, 413, "(body)", "1,000,000 bytes"),
        (b"[" * 10_000 + b"]" * 10_000, {"content_type": "application/json"}, 400, "(body)", "deep"),
        (b'[{"event_id": 1}', {"content_type": "application/json"}, 400, "(body)", "JSON"),
        (b"[\xff]", {"content_type": "application/json"}, 400, "(body)", "invalid"),
        (b'"text"', {"content_type": "application/json"}, 400, "(body)", "an array of events"),
        (json.dumps(event(timestamp="yesterday")).encode(), {"content_type": "application/json"}, 400, "$.timestamp", "RFC 3339"),
    ],
    ids=lambda value: value[:12].decode("latin-1") if isinstance(value, bytes) else None,
)
def test_bad_requests_are_refused_by_name(doors: Doors, body: bytes, headers: dict[str, str], status: int, field: str, said: str) -> None:
    answer = doors.post(body, **headers)
    assert answer.status_code == status, answer.text
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (problem["status"], problem["field"]) == (status, field)
    assert said in problem["detail"]
    assert doors.post(lines([event()])).status_code == 202, "the door is open for others"


def test_a_body_of_exactly_the_limit_is_read(open_doors: OpenDoors) -> None:
    doors = open_doors({"protocols": {"http": {"maxBodySize": 5_000}}})
    one = lines([event()])
    assert doors.post(one + b" " * (5_000 - len(one))).status_code == 202
    assert doors.post(one + b" " * (5_001 - len(one))).status_code == 413
    chunked = doors.http.post(
        "/api/v1/telemetry/events", content=iter([one, b" " * 5_000]), headers={"content-type": "application/x-ndjson"}
    )
    assert chunked.status_code == 413


def test_tokens_decide_who_may_write_for_whom(open_doors: OpenDoors) -> None:
    doors = open_doors({"authentication": TOKENS})
    body = lines([event()])
    missing = doors.post(body)
    assert missing.status_code == 401 and missing.headers["www-authenticate"].startswith("Bearer")
    assert doors.post(body, authorization="Bearer another").status_code == 401
    assert doors.post(body, authorization="Basic %%%").status_code == 401
    assert doors.post(body, x_api_key=TOKEN, x_sentinel_tenant="initech").status_code == 403
    foreign = doors.post(lines([event(tenant_id="initech")]), authorization=f"Bearer {TOKEN}")
    assert foreign.status_code == 403 and foreign.json()["field"] == "$.tenant_id"
    mixed = doors.post(lines([event(tenant_id="initech"), event(tenant_id="globex")]), authorization=f"Bearer {TOKEN}")
    assert mixed.status_code == 207 and mixed.json()["accepted"] == 1
    assert doors.post(body, x_api_key=TOKEN, x_sentinel_tenant="globex").status_code == 202
    assert TOKEN not in missing.text + foreign.text + mixed.text
    assert {one["tenant_id"] for one in doors.events()} == {"globex"}


def test_health_metrics_cors_and_unknown_places(open_doors: OpenDoors) -> None:
    doors = open_doors({"protocols": {"http": {"cors": {"enabled": True, "allowedOrigins": ["https://dashboard.example.com"]}}}})
    for path in ("/livez", "/readyz", "/healthz"):
        assert doors.http.get(path).text == "ok\n"
    assert "sentinel_gateway_buffer_events 0.0" in doors.http.get("/metrics").text
    asked = doors.http.options("/api/v1/telemetry/events", headers={"origin": "https://dashboard.example.com"})
    assert asked.status_code == 204 and asked.headers["access-control-allow-origin"] == "https://dashboard.example.com"
    other = doors.http.options("/api/v1/telemetry/events", headers={"origin": "https://elsewhere.example.com"})
    assert "access-control-allow-origin" not in other.headers
    assert doors.http.get("/api/v1/telemetry/events").status_code == 405
    assert doors.http.get("/nothing").status_code == 404
    echoed = doors.http.get("/livez", headers={"x-request-id": "r-1"})
    assert echoed.headers["x-request-id"] == "r-1"
