"""gRPC calls byte by byte, by curl: what a client of the generated code cannot send. One unary call a connection."""

from __future__ import annotations

import base64
import socket
import struct
import subprocess
import time
from functools import cache
from typing import NamedTuple

import pytest
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status

BATCH = "/llm.sentinel.v1.TelemetryIngestion/BatchTelemetry"
TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


class RawAnswer(NamedTuple):
    """`code` is a google.rpc.Code, None when the connection ended without one; `field` as its BadRequest names it; `message` the answer's first message."""

    code: int | None
    text: str
    field: str | None
    message: bytes


def framed(message: bytes, *, zipped: bool = False, length: int | None = None) -> bytes:
    """A length-prefixed message; `length` when it should promise another one."""
    return struct.pack(">BI", zipped, len(message) if length is None else length) + message


def call(address: str, path: str, body: bytes, **headers: str) -> RawAnswer:
    """Sends the bytes, ends the client's side of the stream and reads the answer."""
    _needs_http2()
    given = {"content-type": "application/grpc", "te": "trailers"} | {name.replace("_", "-"): value for name, value in headers.items()}
    options = [part for name, value in given.items() for part in ("-H", f"{name}: {value}")]
    command = [
        "curl",
        "-s",
        "-i",
        "--http2-prior-knowledge",
        "--max-time",
        "60",
        *options,
        "--data-binary",
        "@-",
        f"http://{address}{path}",
    ]
    return _parsed(subprocess.run(command, input=body, capture_output=True, check=False).stdout)


def dribbled(address: str, path: str, end: bytes) -> bytes:
    """A call whose message comes byte by byte, for longer than anybody waits; what the server sent up to and with `end`.

    By frames of HTTP/2 of our own: curl takes an answer in the midst of its upload for a broken stream.
    """
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": address,
        "content-type": "application/grpc",
        "te": "trailers",
    }
    block = b"".join(b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(text)]) + text.encode() for name, text in fields.items())
    host, _, port = address.partition(":")
    with socket.create_connection((host, int(port))) as connection:
        opening = _frame(4, 0, b"", stream=0) + _frame(1, 4, block)
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + opening + _frame(0, 0, framed(b"", length=1_000_000)))
        connection.settimeout(0.05)
        answer, since = b"", time.monotonic()
        while end not in answer:
            assert time.monotonic() - since < 60, answer
            connection.sendall(_frame(0, 0, b"\n"))
            try:
                answer += connection.recv(65_536)
            except TimeoutError:
                continue
        return answer


def _frame(kind: int, flags: int, payload: bytes, stream: int = 1) -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def _parsed(output: bytes) -> RawAnswer:
    head, _, rest = output.partition(b"\r\n\r\n")
    message = b""
    if rest[:1] == b"\x00":
        size = int.from_bytes(rest[1:5])
        message, rest = rest[5 : 5 + size], rest[5 + size :]
    said = dict(line.split(": ", 1) for line in (head + b"\r\n" + rest).decode("latin-1").splitlines() if ": " in line)
    code = int(said["grpc-status"]) if "grpc-status" in said else None
    return RawAnswer(code, said.get("grpc-message", ""), _field(said.get("grpc-status-details-bin", "")), message)


def _field(details: str) -> str | None:
    violations = BadRequest()
    for detail in Status.FromString(base64.b64decode(details + "===")).details:
        if detail.Unpack(violations):
            return violations.field_violations[0].field
    return None


@cache
def _needs_http2() -> None:
    if b"HTTP2" not in subprocess.run(["curl", "--version"], capture_output=True, check=False).stdout:
        pytest.skip("curl is missing here, or does not speak HTTP/2")
