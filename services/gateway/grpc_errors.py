"""Trouble as gRPC statuses, with RetryInfo where trying again makes sense and BadRequest where a field is to blame."""

from __future__ import annotations

from typing import Any, NoReturn

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from services.gateway.records import (
    GatewayError,
    MalformedError,
    RateLimitedError,
    SlowError,
    TooLargeError,
    UnauthenticatedError,
    UnavailableError,
    UnknownTenantError,
)

_CODES: tuple[tuple[type[GatewayError], int], ...] = (
    (UnauthenticatedError, Code.UNAUTHENTICATED),
    (UnknownTenantError, Code.PERMISSION_DENIED),
    (RateLimitedError, Code.RESOURCE_EXHAUSTED),
    (UnavailableError, Code.UNAVAILABLE),
    (TooLargeError, Code.RESOURCE_EXHAUSTED),
    (SlowError, Code.DEADLINE_EXCEEDED),
    (MalformedError, Code.INVALID_ARGUMENT),
)


def status_of(error: GatewayError) -> Status:
    """The status message of an error."""
    code = next((code for kind, code in _CODES if isinstance(error, kind)), Code.INTERNAL)
    status = Status(code=code, message=error.detail)
    if error.retry_after_s is not None:
        seconds, fraction = divmod(max(error.retry_after_s, 0.001), 1)
        _add(status, RetryInfo(retry_delay=Duration(seconds=int(seconds), nanos=int(fraction * 1e9))))
    if error.field is not None:
        _add(status, BadRequest(field_violations=[BadRequest.FieldViolation(field=error.field, description=error.detail)]))
    return status


async def abort(context: grpc.aio.ServicerContext[Any, Any], error: GatewayError) -> NoReturn:
    """Ends the call with the error's status."""
    status = rpc_status.to_status(status_of(error))
    await context.abort(status.code, status.details, status.trailing_metadata)
    raise AssertionError("abort raises")


def _add(status: Status, detail: Any) -> None:
    packed = AnyMessage()
    packed.Pack(detail)
    status.details.append(packed)
