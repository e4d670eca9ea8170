"""Answers of the HTTP door: problem+json (RFC 9457) that names the field, with the same words for the same trouble as on every other door."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import msgspec

from services.gateway.http_body import JSON_TYPES, LINES_TYPES
from services.gateway.records import (
    GatewayError,
    MalformedError,
    RateLimitedError,
    Rejection,
    SlowError,
    TooLargeError,
    UnauthenticatedError,
    UnavailableError,
    UnknownTenantError,
    UnsupportedTypeError,
)

MAX_LISTED = 1_000
_TITLES = {
    400: "The request cannot be read",
    401: "Not authenticated",
    403: "Not allowed",
    404: "There is nothing here",
    405: "The method is not allowed here",
    408: "The request came too slowly",
    413: "The request is too large",
    415: "The type is not read",
    429: "Too many events",
    500: "Something went wrong here",
    503: "No events are taken at the moment",
}
_STATUSES: tuple[tuple[type[GatewayError], int], ...] = (
    (UnauthenticatedError, 401),
    (UnknownTenantError, 403),
    (RateLimitedError, 429),
    (UnavailableError, 503),
    (TooLargeError, 413),
    (UnsupportedTypeError, 415),
    (SlowError, 408),
    (MalformedError, 400),
)


class Answer(NamedTuple):
    """Status, headers beside length, body."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


def problem(status: int, detail: str, field: str | None = None, **more: Any) -> Answer:
    """One problem+json."""
    document = {"type": "about:blank", "title": _TITLES[status], "status": status, "detail": detail}
    if field is not None:
        document["field"] = field
    return Answer(status, ((b"content-type", b"application/problem+json"),), msgspec.json.encode(document | more))


def problem_of(error: GatewayError) -> Answer:
    """The answer for a request that was not taken."""
    status = next(status for kind, status in _STATUSES if isinstance(error, kind))
    answer = problem(status, error.detail, error.field)
    more: list[tuple[bytes, bytes]] = []
    if error.retry_after_s is not None:
        more.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after_s))))
    if status == 401:
        more.append((b"www-authenticate", b'Bearer realm="llm-sentinel"'))
    if status == 415:
        more.append((b"accept-post", ", ".join((*JSON_TYPES, *LINES_TYPES)).encode()))
    if status in (408, 413):
        # What is left of the body is not waited for.
        more.append((b"connection", b"close"))
    return answer._replace(headers=(*answer.headers, *more))


def outcome_answer(accepted: int, rejections: list[Rejection]) -> Answer:
    """202: all events are durable. 207: the good ones are, the others are listed. 400 (403 for foreign tenants): none is."""
    if not rejections:
        return Answer(202, _JSON, b'{"accepted":%d,"rejected":0}' % accepted)
    listed = rejections[:MAX_LISTED]
    if accepted:
        body = {"accepted": accepted, "rejected": len(rejections), "rejections": listed}
        return Answer(207, _JSON, msgspec.json.encode(body))
    foreign = all(one.field == "$.tenant_id" and one.expected.startswith("a tenant") for one in rejections)
    first = rejections[0]
    detail = f"none of {len(rejections):,} events was taken; the first: {first.field}: expected {first.expected}, got {first.found}"
    return problem(403 if foreign else 400, detail, first.field, accepted=0, rejected=len(rejections), rejections=listed)


_JSON = ((b"content-type", b"application/json"),)
