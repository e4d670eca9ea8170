"""BatchTelemetry with the events as JSON, byte for byte, and gzip around them."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
from google.rpc.error_details_pb2 import RetryInfo
from grpc_status import rpc_status

from schemas.pb.llm.sentinel.v1 import ingestion_pb2 as pb
from schemas.pb.llm.sentinel.v1.ingestion_pb2_grpc import TelemetryIngestionStub
from services.sidecar.grpc_link import metadata_of, open_channel
from services.sidecar.senders import AwayError, BatchTooLargeError, Delivered, FailedError, RefusedError, Told
from services.sidecar.settings import Target

_CLOSED = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNIMPLEMENTED)
_GONE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)


class GrpcSender:
    """See `Sender`."""

    max_batch_bytes = 3_500_000
    """Below the gateway's 4 MB a message."""

    def __init__(self, target: Target, *, gzip: bool) -> None:
        self._target = target
        self._compression = grpc.Compression.Gzip if gzip else grpc.Compression.NoCompression
        self._channel = open_channel(target)
        self._stub = TelemetryIngestionStub(self._channel)

    async def send(self, events: Sequence[bytes]) -> Delivered:
        """See `Sender`."""
        try:
            answer = await self._stub.BatchTelemetry(
                pb.BatchTelemetryRequest(json_events=events),
                timeout=self._target.timeout_s,
                metadata=metadata_of(self._target),
                compression=self._compression,
            )
        except grpc.aio.AioRpcError as error:
            raise _meaning(error) from None
        if answer.accepted_count + answer.rejected_count != len(events):
            raise FailedError("the gateway did not answer for every event: it knows no events in JSON, and is older than this sidecar")
        return Delivered(answer.accepted_count, [Told(one.field, one.reason or f"expected {one.expected}") for one in answer.rejections])

    async def close(self) -> None:
        """See `Sender`."""
        await self._channel.close(None)


def _meaning(error: grpc.aio.AioRpcError) -> Exception:
    code, text = error.code(), f"{error.code().name}: {error.details() or 'no details'}"
    if code in _GONE or code in _CLOSED:
        return AwayError(text, _retry_after(error))
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        # grpc itself says this of messages that are too large, and of too many calls at once.
        return BatchTooLargeError(text) if "larger than max" in text else AwayError(text, _retry_after(error))
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        return RefusedError(text)
    return FailedError(text)


def _retry_after(error: grpc.aio.AioRpcError) -> float | None:
    try:
        status = rpc_status.from_call(error)  # type: ignore[arg-type]
    except (ValueError, AttributeError):
        return None
    for detail in status.details if status is not None else ():
        if detail.Is(RetryInfo.DESCRIPTOR):
            info = RetryInfo()
            detail.Unpack(info)
            return float(info.retry_delay.seconds + info.retry_delay.nanos / 1e9)
    return None
