"""One table of doors and faults (docs/ingestion.md): each is refused by a status that names the place, holds little memory, and disturbs nobody else."""

from __future__ import annotations

import gzip
import json
import re
import socket
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from schemas.pb.llm.sentinel.v1 import ingestion_pb2 as pb
from tests.gateway.test_grpc_door import message
from tests.gateway.test_otlp_door import DIALECTS, export, hex_json
from tests.support import raw_grpc
from tests.support.doors import TOKEN, TOKENS, Doors, OpenDoors, event
from tests.support.raw_grpc import BATCH, TRACES, framed

DOCUMENT = (Path(__file__).parents[2] / "docs" / "ingestion.md").read_text()
LIMIT, OTLP_LIMIT = 1_000_000, 4_000_000
LEVELS = 10_000
HTTP_PATHS = {"http": "/api/v1/telemetry/events", "otlp-http protobuf": "/v1/traces", "otlp-http json": "/v1/traces"}
HTTP_TYPES = {"http": "application/json", "otlp-http protobuf": "application/x-protobuf", "otlp-http json": "application/json"}
GRPC_PATHS = {"grpc": BATCH, "otlp-grpc": TRACES}
DOORS = (*HTTP_PATHS, *GRPC_PATHS)
OLD_MS = 1_000_000_000_000


class Said(NamedTuple):
    """An answer of any door: the HTTP status or the gRPC code, the field that it names, and its text."""

    status: int | None
    field: str | None
    text: str


def good(door: str) -> bytes:
    """A request with two good events (spans) and, between them, one that is too old."""
    span = {"attributes": DIALECTS["otel"]}
    spans = export(span, span | {"start_ns": OLD_MS * 10**6, "end_ns": OLD_MS * 10**6 + 1}, span)
    if door == "http":
        return json.dumps([event(), event(timestamp="2001-09-09T01:46:40Z"), event()]).encode()
    if door == "grpc":
        old = message()
        old.timestamp.FromMilliseconds(OLD_MS)
        return pb.BatchTelemetryRequest(events=[message(), old, message()]).SerializeToString()
    return hex_json(spans) if door == "otlp-http json" else spans.SerializeToString()


def nested(door: str) -> bytes:
    """`LEVELS` of nesting, where the door's messages allow any."""
    if door == "http":
        return b"[" * LEVELS + b"]" * LEVELS
    if door == "otlp-http json":
        return b'{"a":' * LEVELS + b"1" + b"}" * LEVELS
    # OTLP: a value in an array in a value… inside an attribute. Ours: a value in a list in a value… inside a request's context.
    inner, outer = (b"\x0a\x2a", b"\x12\x0a\x0a\x0a") if "otlp" in door else (b"\x0a\x32", b"\x12\x0a\x2a\x52\x0a")
    body = b""
    for level in range(LEVELS):
        body = within(inner[level % 2], body)
    for tag in outer:
        body = within(tag, body)
    return body


def within(tag: int, body: bytes) -> bytes:
    """The message as the field of another, by the field's tag."""
    size, prefix = len(body), bytearray([tag])
    while size > 127:
        prefix.append(size & 127 | 128)
        size >>= 7
    return bytes([*prefix, size]) + body


def bomb(megabytes: int) -> bytes:
    """That many megabytes of zeros, in a thousandth of them."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join([*(packer.compress(bytes(1_000_000)) for _ in range(megabytes)), packer.flush()])


def send(doors: Doors, door: str, body: bytes, *, zipped: bool = False, length: int | None = None, **headers: str) -> Said:
    """One request with this body (a gRPC message that is framed here; `length` is what the frame promises)."""
    if door in GRPC_PATHS:
        if zipped:
            headers["grpc_encoding"] = "gzip"
        frame = framed(body, zipped=zipped, length=length)
        answer = raw_grpc.call(address(doors, door), GRPC_PATHS[door], frame, **headers)
        return Said(answer.code, answer.field, answer.text)
    given = {"content-type": HTTP_TYPES[door]} | {name.replace("_", "-"): value for name, value in headers.items()}
    if zipped:
        given["content-encoding"] = "gzip"
    reply = doors.http.post(f"http://{address(doors, door)}{HTTP_PATHS[door]}", content=body, headers=given)
    return _said(reply.status_code, reply.headers["content-type"], reply.content)


def _said(status: int, kind: str, content: bytes) -> Said:
    if kind == "application/problem+json":
        problem = json.loads(content)
        assert problem["status"] == status
        return Said(status, problem.get("field"), problem["detail"])
    if kind == "application/x-protobuf" and status >= 400:
        text = Status.FromString(content).message
        return Said(status, text.partition(":")[0], text)
    return Said(status, None, content.decode("latin-1"))


def address(doors: Doors, door: str) -> str:
    return f"127.0.0.1:{doors.running.ports[door.partition(' ')[0]]}"


FAULTS = ("gzip cut off", "zip bomb", "wrong content type", "over the limit", "10,000 levels", "not what is read", "ended half-way")
_NAMES = ("OK", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "UNAUTHENTICATED")
CODES: dict[str, int] = {name: grpc.StatusCode[name].value[0] for name in _NAMES}


def table() -> dict[str, dict[str, str]]:
    """Fault → door → cell, as docs/ingestion.md has it."""
    section = DOCUMENT.split("\n## Bad input")[1].partition("\n#")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("|")]
    return {row[0]: dict(zip(rows[0][1:], row[1:], strict=True)) for row in rows[2:]}


TABLE = table()
COLUMN = {"http": "HTTP", "otlp-http protobuf": "OTLP/HTTP", "otlp-http json": "OTLP/HTTP", "grpc": "gRPC", "otlp-grpc": "OTLP/gRPC"}


def wanted(door: str, fault: str) -> tuple[int, str | None]:
    """Status and field of a cell such as "400 `(body)`"; no field where grpc itself answers."""
    found = re.match(r"(\w+)(?: `([^`]+)`)?", TABLE[fault][COLUMN[door]])
    assert found is not None, TABLE[fault]
    return (int(found[1]) if found[1].isdigit() else CODES[found[1]]), found[2]


def broken(doors: Doors, door: str, fault: str) -> Said:
    """Sends a request with this fault."""
    limit = LIMIT if door == "http" else OTLP_LIMIT
    match fault:
        case "gzip cut off":
            return send(doors, door, gzip.compress(good(door))[:-20], zipped=True)
        case "zip bomb":
            return send(doors, door, bomb(50), zipped=True)
        case "wrong content type":
            return send(doors, door, good(door), content_type="text/plain")
        case "over the limit":
            return send(doors, door, b" " * (limit + 1))
        case "10,000 levels":
            return send(doors, door, nested(door))
        case "not what is read":
            return send(doors, door, b"\xff\xff\xff")
    if door in GRPC_PATHS:
        return send(doors, door, good(door), length=len(good(door)) + 100)
    with socket.create_connection(address(doors, door).split(":")) as half_closed:  # type: ignore[arg-type]
        head = f"POST {HTTP_PATHS[door]} HTTP/1.1\r\nhost: x\r\ncontent-type: {HTTP_TYPES[door]}\r\ncontent-length: 100000\r\n\r\n"
        half_closed.sendall(head.encode() + good(door)[:100])
        half_closed.shutdown(socket.SHUT_WR)
        half_closed.settimeout(30)
        return _read(half_closed)


def _read(connection: socket.socket) -> Said:
    """The answer on a raw connection; a status of 0 when it was closed without one."""
    answer = b""
    while part := connection.recv(65_536):
        answer += part
    head, _, content = answer.partition(b"\r\n\r\n")
    kind = re.search(rb"content-type: (\S+)", head)
    return _said(int(head.split()[1]), kind[1].decode() if kind else "", content) if head else Said(0, None, "closed")


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("door", DOORS)
def test_a_broken_request_is_refused_by_name_and_the_door_stays_open(doors: Doors, door: str, fault: str) -> None:
    said = broken(doors, door, fault)
    assert (said.status, said.field) == wanted(door, fault), said
    assert said.text or wanted(door, fault)[0] == 0
    assert send(doors, door, good(door)).status == {"http": 207, "grpc": 0, "otlp-grpc": 0}.get(door, 200)
    # gRPC does not look at the content type: then the first request was good as well.
    events = (2 if door in ("http", "grpc") else 4) * (2 if said.status == 0 and fault == "wrong content type" else 1)
    assert doors.metric(f'sentinel_gateway_events_total{{door="{"otlp" if "otlp" in door else door}",outcome="accepted"}}') == events


def test_who_may_not_write_is_sent_away(open_doors: OpenDoors) -> None:
    doors = open_doors({"authentication": TOKENS})
    faults: dict[str, dict[str, str]] = {
        "no token": {},
        "bad token": {"authorization": "Bearer another"},
        "foreign tenant": {"x_api_key": TOKEN, "x_sentinel_tenant": "initech"},
    }
    for door in DOORS:
        for fault, headers in faults.items():
            said = send(doors, door, good(door), **headers)
            assert (said.status, said.field) == wanted(door, fault), (door, said)
            assert TOKEN not in said.text
    assert not doors.events()
    for door in DOORS:
        assert send(doors, door, good(door), x_api_key=TOKEN).status in (0, 200, 207)
    assert {one["tenant_id"] for one in doors.events()} == {"acme"}


@pytest.mark.parametrize("door", DOORS)
def test_good_events_of_a_batch_are_kept_and_the_bad_one_is_listed(doors: Doors, door: str) -> None:
    if door in GRPC_PATHS:
        answer = raw_grpc.call(address(doors, door), GRPC_PATHS[door], framed(good(door)))
        assert answer.code == 0
        content = answer.message
    else:
        reply = doors.http.post(
            f"http://{address(doors, door)}{HTTP_PATHS[door]}", content=good(door), headers={"content-type": HTTP_TYPES[door]}
        )
        content = reply.content
    if door == "grpc":
        listed = pb.BatchTelemetryResponse.FromString(content)
        assert (listed.accepted_count, [(one.index, one.field) for one in listed.rejections]) == (2, [(1, "$.timestamp")])
    elif door == "http":
        assert [(one["index"], one["field"]) for one in json.loads(content)["rejections"]] == [(1, "$.timestamp")]
    elif door == "otlp-http json":
        partial = json.loads(content)["partialSuccess"]
        assert partial["rejectedSpans"] == "1" and "item 1: $.timestamp" in partial["errorMessage"]
    else:
        found = ExportTraceServiceResponse.FromString(content).partial_success
        assert found.rejected_spans == 1 and "item 1: $.timestamp" in found.error_message
    assert len(doors.events()) == (2 if door in ("http", "grpc") else 4)


@pytest.mark.parametrize("door", DOORS)
def test_a_client_that_dribbles_is_given_up(doors: Doors, door: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its body comes byte by byte and would take minutes."""
    monkeypatch.setattr("services.gateway.http_body.BODY_TIMEOUT_S", 0.5)
    monkeypatch.setattr("services.gateway.grpc_reading.MESSAGE_TIMEOUT_S", 0.5)
    status, field = wanted(door, "dribbled body")
    if door in GRPC_PATHS:
        answer = raw_grpc.dribbled(address(doors, door), GRPC_PATHS[door], end=b"not complete after")
        assert b"grpc-status\x01%d" % status in answer, answer
    else:
        with socket.create_connection(address(doors, door).split(":")) as connection:  # type: ignore[arg-type]
            head = f"POST {HTTP_PATHS[door]} HTTP/1.1\r\nhost: x\r\ncontent-type: {HTTP_TYPES[door]}\r\ncontent-length: 100000\r\n\r\n"
            connection.sendall(head.encode())
            connection.settimeout(0.05)
            answered: bytes | None = None
            while answered is None:
                connection.sendall(b" ")
                try:
                    answered = connection.recv(1, socket.MSG_PEEK)
                except TimeoutError:
                    continue
            connection.settimeout(30)
            said = _read(connection)
        assert (said.status, said.field) == (status, field), said
    assert send(doors, door, good(door)).status in (0, 200, 207), "the door is open for others"


@pytest.mark.parametrize("port", ["http", "otlp-http", "grpc", "otlp-grpc"])
def test_a_connection_that_never_says_its_head_is_closed(open_doors: OpenDoors, port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.http_server.HEAD_TIMEOUT_S", 0.5)
    monkeypatch.setattr("services.gateway.grpc_server.HANDSHAKE_TIMEOUT_S", 0.5)
    doors = open_doors()
    place = ("127.0.0.1", doors.running.ports[port])
    with socket.create_connection(place) as silent, socket.create_connection(place) as slow:
        slow.sendall(b"POST /v1/traces HTTP/1.1\r\nhost: x\r\n" if "http" in port else b"PRI * HTTP/2.0\r\n")
        for connection in (silent, slow):
            connection.settimeout(30)
            while connection.recv(1_000):
                pass


@pytest.fixture
def peak() -> Iterator[Any]:
    """Megabytes by which this process, which holds the gateway, has grown at its highest since the fixture was made."""
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not reset.exists():
        pytest.skip("the highest memory of a process can only be read on Linux")

    def megabytes(name: str) -> float:
        return int(next(line.split()[1] for line in status.read_text().splitlines() if line.startswith(name))) / 1024

    reset.write_text("5")
    before = megabytes("VmRSS")
    yield lambda: megabytes("VmHWM") - before


@pytest.mark.parametrize("door", DOORS)
def test_memory_is_bounded_under_zip_bombs(doors: Doors, door: str, peak: Any) -> None:
    """Eight at a time, 200 MB each: what is held of each is at most the door's limit and a bit."""
    body = bomb(200)
    with ThreadPoolExecutor(8) as senders:
        answers = list(senders.map(lambda _: send(doors, door, body, zipped=True), range(8)))
    assert {(one.status, one.field) for one in answers} == {wanted(door, "zip bomb")}
    assert peak() < 120
