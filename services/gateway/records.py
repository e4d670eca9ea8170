"""What passes between the doors and Kafka."""

from __future__ import annotations

from typing import NamedTuple

import msgspec


class KafkaRecord(NamedTuple):
    """One record of the telemetry topic. Key `tenant|application`, time in epoch milliseconds."""

    key: bytes
    value: bytes
    time_ms: int


class Rejection(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why one event of a batch was refused. `field` is a JSON path of the event such as `$.data.latency_ms`."""

    index: int
    field: str
    expected: str
    found: str
    reason: str
    event_id: str | None = None


class GatewayError(Exception):
    """A whole request cannot be taken. `retry_after_s` is set when the same request may succeed later."""

    def __init__(self, detail: str, *, field: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field
        self.retry_after_s = retry_after_s


class UnauthenticatedError(GatewayError):
    """No token, or one that nobody has."""


class UnknownTenantError(GatewayError):
    """The token does not speak for the tenant that the request names."""


class RateLimitedError(GatewayError):
    """The tenant has used up its rate or quota."""


class UnavailableError(GatewayError):
    """Neither Kafka nor the disk takes events now; nothing was acknowledged."""


class MalformedError(GatewayError):
    """The request is not what the door reads; `field` says where."""


class SlowError(MalformedError):
    """The request did not arrive in time."""


class TooLargeError(GatewayError):
    """The request is larger than the door takes."""


class UnsupportedTypeError(GatewayError):
    """Content type or encoding that the door does not read."""
