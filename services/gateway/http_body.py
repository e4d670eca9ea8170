"""The body of an HTTP request: bounded in bytes (before and after gzip) and in time, then split into raw events."""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from services.gateway.records import MalformedError, SlowError, TooLargeError, UnavailableError, UnsupportedTypeError

Receive = Callable[[], Awaitable[Any]]
BODY_TIMEOUT_S = 15.0
"""A body that is not complete by then is given up: its memory belongs to others."""
DISCARDED_BYTES = 16 * 1024 * 1024
DISCARD_TIMEOUT_S = 2.0
"""So much of a body that is too large is still taken, and thrown away, before the answer."""
MAX_UNDER_WAY_BYTES = 256 * 1024 * 1024
JSON_TYPES = ("application/json",)
LINES_TYPES = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines")

_raw_list = msgspec.json.Decoder(list[msgspec.Raw])
_raw = msgspec.json.Decoder(msgspec.Raw)


async def read_body(receive: Receive, headers: dict[bytes, bytes], limit: int) -> bytes:
    """The whole body, unzipped. Raises TooLargeError, UnsupportedTypeError, MalformedError, SlowError."""
    length = headers.get(b"content-length")
    if length is not None and length.isdigit() and int(length) > limit:
        await _discard(receive)
        raise _too_large(limit)
    encoding = headers.get(b"content-encoding", b"identity").decode("latin-1").strip().lower()
    if encoding not in ("identity", "gzip", ""):
        raise UnsupportedTypeError(f"content encoding {encoding[:50]!r} is not read: expected gzip or none", field="content-encoding")
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            body = await _collect(receive, limit)
    except TimeoutError:
        raise SlowError(f"the body was not complete after {BODY_TIMEOUT_S:g} s", field="(body)") from None
    return unzip(body, limit) if encoding == "gzip" else body


class _UnderWay:
    """Bytes of all bodies that are not complete yet: each is small, and there may be thousands."""

    bytes = 0


async def _collect(receive: Receive, limit: int) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        if message["type"] == "http.disconnect":
            raise MalformedError("the client closed the connection before its body was complete", field="(body)")
        if len(body) > limit:
            raise _too_large(limit)
        return body
    parts, size = [body], len(body)
    _UnderWay.bytes += size
    try:
        while message.get("more_body"):
            message = await receive()
            if message["type"] == "http.disconnect":
                raise MalformedError("the client closed the connection before its body was complete", field="(body)")
            part = message.get("body", b"")
            parts.append(part)
            size += len(part)
            _UnderWay.bytes += len(part)
            if size > limit:
                parts.clear()
                await _discard(receive)
                raise _too_large(limit)
            if _UnderWay.bytes > MAX_UNDER_WAY_BYTES:
                raise UnavailableError("too many bodies are under way at once", retry_after_s=1.0)
    finally:
        _UnderWay.bytes -= size
    return b"".join(parts)


async def _discard(receive: Receive) -> None:
    """Let a client that is still sending come to its end, within bounds: it reads no answer before, and a closed connection would only look broken."""
    left = DISCARDED_BYTES
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DISCARD_TIMEOUT_S):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if not message.get("more_body"):
                    return


def unzip(body: bytes, limit: int) -> bytes:
    """The content of a gzip body of at most `limit` bytes; never makes more than that of it."""
    parts: list[bytes] = []
    left, rest = limit, body
    while True:
        member = zlib.decompressobj(wbits=31)
        try:
            parts.append(member.decompress(rest, left + 1))
        except zlib.error:
            raise MalformedError("the body is not gzip, as its encoding says", field="(body)") from None
        left -= len(parts[-1])
        if left < 0:
            raise _too_large(limit)
        if not member.eof:
            raise MalformedError("the gzip body is cut off", field="(body)")
        rest = member.unused_data
        if not rest:
            return b"".join(parts)


def split_events(body: bytes, content_type: str) -> list[bytes]:
    """Raw JSON of each event. `content_type` without parameters, in lower case. Lines are split without being read: a bad one spoils no other."""
    if content_type in LINES_TYPES:
        return [line for line in body.split(b"\n") if line and not line.isspace()]
    if content_type not in JSON_TYPES:
        expected = ", ".join((*JSON_TYPES, LINES_TYPES[0]))
        raise UnsupportedTypeError(f"content type {content_type[:100]!r} is not read: expected one of {expected}", field="content-type")
    start = body.lstrip()[:1]
    if start == b"{":
        return [body]
    try:
        return [bytes(raw) for raw in _raw_list.decode(body)]
    except RecursionError:
        raise MalformedError("the document is nested too deeply", field="(body)") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedError(f"expected an event, an array of events, or NDJSON: {error}", field="(body)") from None


def _too_large(limit: int) -> TooLargeError:
    return TooLargeError(f"expected a body of at most {limit:,} bytes, also after unzipping", field="(body)")
