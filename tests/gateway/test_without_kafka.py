"""While Kafka is gone: events go to disk, or the sender is told to come again; nothing is acknowledged from memory, and memory stays bounded."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import httpx
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from schemas.pb.llm.sentinel.v1 import ingestion_pb2 as pb
from schemas.pb.llm.sentinel.v1.ingestion_pb2_grpc import TelemetryIngestionStub
from services.gateway.http_body import _UnderWay
from services.gateway.journal import BufferLimits
from services.gateway.overflow import OverflowLog
from tests.support.doors import Doors, OpenDoors, event, lines
from tests.support.waiting import wait_for

IMPATIENT = BufferLimits(slow_after_s=0.3)


def test_events_go_to_disk_and_the_doors_say_so(lonely_doors: OpenDoors, tmp_path: Path) -> None:
    doors = lonely_doors(limits=IMPATIENT)
    batches = [[event() for _ in range(5)] for _ in range(4)]
    assert [doors.post(lines(batch)).status_code for batch in batches] == [202] * 4
    assert doors.http.get("/readyz").text == "spilling to disk\n"
    assert doors.metric("sentinel_gateway_overflow_events") == 20
    assert doors.metric("sentinel_gateway_buffer_events") == 0
    with grpc.insecure_channel(doors.grpc) as channel:
        assert TelemetryIngestionStub(channel).HealthCheck(pb.HealthCheckRequest()).status == pb.HealthCheckResponse.BUFFERING
    # The copy on disk is what a gateway that is started after a kill would find.
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in (tmp_path / doors.topic / "overflow").glob("*.sqlite*"):
        (copy / file.name).write_bytes(file.read_bytes())
    found = [record.value for batch in OverflowLog(copy, 1_000_000).read(None, 100) for record in batch.records]
    assert found == [line for batch in batches for line in lines(batch).split(b"\n")], "in the order in which they came"


def test_of_a_long_overflow_only_a_window_is_in_memory(lonely_doors: OpenDoors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.drain.WINDOW_BYTES", 50_000)
    doors = lonely_doors(limits=IMPATIENT)
    text = "x" * 9_000
    sent = [doors.post(lines([event(data={"status": "success", "latency_ms": 1, "response": text, "cost": 0.1})])) for _ in range(20)]
    assert [answer.status_code for answer in sent] == [202] * 20
    assert doors.metric("sentinel_gateway_overflow_bytes") > 180_000
    held = wait_for(
        lambda: doors.metric("sentinel_gateway_overflow_draining_bytes"),
        10,
        "the drain to fill its window",
        lambda found: found >= 50_000,
        0.05,
    )
    assert held < 70_000


def test_without_an_overflow_the_sender_is_told_to_come_again(lonely_doors: OpenDoors) -> None:
    doors = lonely_doors({"buffer": {"overflow": {"enabled": False}}}, limits=IMPATIENT)
    answer = doors.post(lines([event()]))
    assert answer.status_code == 503 and int(answer.headers["retry-after"]) >= 1
    with grpc.insecure_channel(doors.grpc) as channel, pytest.raises(grpc.RpcError) as caught:
        message = pb.TelemetryEvent(
            application_id="a", source=pb.EventSource(service="s", host="h"), metric=pb.MetricData(metric_name="m", value=1)
        )
        message.timestamp.GetCurrentTime()
        TelemetryIngestionStub(channel).BatchTelemetry(pb.BatchTelemetryRequest(events=[message]))
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    status = rpc_status.from_call(caught.value)
    assert status is not None and status.details[0].Is(error_details_pb2.RetryInfo.DESCRIPTOR)
    assert doors.metric('sentinel_gateway_events_total{door="http",outcome="unavailable"}') == 1


def test_a_full_disk_is_said_and_what_was_acknowledged_stays(lonely_doors: OpenDoors) -> None:
    doors = lonely_doors({"buffer": {"overflow": {"maxSize": 20_000}}}, limits=IMPATIENT)
    statuses = [doors.post(lines([event() for _ in range(10)])).status_code for _ in range(12)]
    accepted = statuses.count(202)
    assert 0 < accepted < 12 and statuses == [202] * accepted + [503] * (12 - accepted)
    assert doors.metric("sentinel_gateway_overflow_events") == accepted * 10
    assert doors.metric("sentinel_gateway_overflow_bytes") <= 20_000


def test_memory_is_bounded_while_clients_wait(lonely_doors: OpenDoors) -> None:
    doors = lonely_doors({"buffer": {"overflow": {"enabled": False}}}, limits=BufferLimits(events=100, slow_after_s=3.0, tenant_share=1.0))
    body = lines([event() for _ in range(10)])
    with ThreadPoolExecutor(30) as senders:
        answers = list(senders.map(lambda _: doors.post(body), range(30)))
        assert {answer.status_code for answer in answers} == {503}
    full = [answer for answer in answers if "buffer is full" in answer.json()["detail"]]
    assert len(full) == 20, "ten batches fill the buffer, the others are sent away at once"
    assert max(answer.elapsed.total_seconds() for answer in full) < min(
        answer.elapsed.total_seconds() for answer in answers if answer not in full
    )


def test_one_tenant_fills_its_share_of_the_buffer_and_no_more(lonely_doors: OpenDoors) -> None:
    doors = lonely_doors({"buffer": {"overflow": {"enabled": False}}}, limits=BufferLimits(events=100, slow_after_s=3.0))

    def send(tenant: str) -> httpx.Response:
        return doors.post(lines([event(tenant_id=tenant) for _ in range(10)]))

    with ThreadPoolExecutor(20) as senders:
        loud = [senders.submit(send, "loud") for _ in range(15)]
        sent_away = [answer for answer in (one.result() for one in loud) if answer.status_code == 429]
        assert len(sent_away) == 10 and all("share of the buffer" in one.json()["detail"] for one in sent_away)
        assert all(int(one.headers["retry-after"]) >= 1 for one in sent_away)


def test_the_disk_is_used_before_anybody_is_sent_away(lonely_doors: OpenDoors) -> None:
    doors = lonely_doors(limits=BufferLimits(events=100, slow_after_s=600.0))
    with ThreadPoolExecutor(8) as senders:
        statuses = list(senders.map(lambda _: doors.post(lines([event() for _ in range(10)])).status_code, range(8)))
    accepted = statuses.count(202)
    assert accepted >= 6 and statuses.count(429) == 8 - accepted, "the sixth batch is beyond the tenant's share: everything goes to disk"
    assert doors.metric("sentinel_gateway_overflow_events") == accepted * 10


def test_slow_and_broken_clients_lose_their_connection_and_nobody_elses(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.http_server.HEAD_TIMEOUT_S", 0.5)
    monkeypatch.setattr("services.gateway.http_body.BODY_TIMEOUT_S", 0.5)
    address = ("127.0.0.1", doors.running.ports["http"])
    head = b"POST /api/v1/telemetry/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n"
    with (
        socket.create_connection(address) as silent,
        socket.create_connection(address) as no_head,
        socket.create_connection(address) as no_body,
        socket.create_connection(address) as endless,
        socket.create_connection(address) as half_closed,
    ):
        no_head.sendall(head)
        no_body.sendall(head + b"\r\n{")
        half_closed.sendall(head + b"\r\n{")
        half_closed.shutdown(socket.SHUT_WR)
        endless.sendall(b"GET / HTTP/1.1\r\nx: " + b"y" * 60_000)
        with pytest.raises(OSError):
            for _ in range(100):
                endless.sendall(b"y" * 60_000)
        for connection in (silent, no_head):
            connection.settimeout(10)
            assert connection.recv(100) == b"", "closed"
        no_body.settimeout(10)
        assert no_body.recv(10_000).startswith(b"HTTP/1.1 408 ")
        half_closed.settimeout(10)
        assert b" 202 " not in half_closed.recv(10_000)
        assert doors.post(lines([event()])).status_code == 202
    assert len(doors.events()) == 1


def test_bodies_under_way_are_bounded_all_together(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.http_body.MAX_UNDER_WAY_BYTES", 300_000)
    head = b"POST /api/v1/telemetry/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 200000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", doors.running.ports["http"])) as first:
        first.sendall(head + b" " * 190_000)
        wait_for(lambda: _UnderWay.bytes, 10, "the first body to be under way", until=lambda held: held > 180_000, pause_s=0.02)
        answer = doors.post(lines([event()]) + b" " * 190_000)
        assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
    wait_for(lambda: _UnderWay.bytes, 10, "the first body to be forgotten", until=lambda held: held == 0, pause_s=0.02)
    assert doors.post(lines([event()]) + b" " * 190_000).status_code == 202
