"""How the messages of a call are read: what is no protobuf of its type, does not come, or does not come to its end, is the client's mistake.

grpc itself says UNKNOWN to the first and writes a stack trace, and waits for the others as long as the client likes.

gzip is read here as well: grpc would unzip a message whole before it looks at its size, so that 4 MB of a client become 4 GB of memory (seen: 389 kB took
406 MB). The server is told to leave that alone (`SERVER_OPTIONS`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from services.gateway.grpc_errors import abort
from services.gateway.http_body import unzip
from services.gateway.records import GatewayError, MalformedError, SlowError

MESSAGE_TIMEOUT_S = 15.0
"""A call whose one message is not there by then is given up: there are only so many calls at a time, and each may hold a message."""
SERVER_OPTIONS = (("grpc.per_message_decompression", 0), ("grpc.compression_enabled_algorithms_bitset", 0b101))
"""Messages come as they were sent, and only plain or as gzip: no protobuf begins with the two bytes of gzip, but one may begin like deflate."""
_GZIP = b"\x1f\x8b"


class ReadingInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Reads requests so that a broken one ends its call with a status that says so. `max_message_bytes` counts after unzipping."""

    def __init__(self, max_message_bytes: int) -> None:
        self._max_message_bytes = max_message_bytes

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any) -> Any:
        """The method's handler, with its reading replaced."""
        handler = await continuation(handler_call_details)
        if handler is None or handler.request_deserializer is None:
            return handler
        method: str = handler_call_details.method
        read, limit = handler.request_deserializer, self._max_message_bytes

        def deserialize(data: bytes) -> Any:
            try:
                return read(unzip(data, limit) if data.startswith(_GZIP) else data)
            except DecodeError:
                return MalformedError(f"the message is not what {method} reads", field="(message)")
            except GatewayError as error:
                return error

        if handler.unary_unary is not None:
            # The same on the wire; only a stream of requests can be waited for with patience of our own.
            return grpc.stream_unary_rpc_method_handler(_unary(handler.unary_unary, method), deserialize, handler.response_serializer)
        if handler.stream_unary is not None:
            return handler._replace(stream_unary=_stream(handler.stream_unary), request_deserializer=deserialize)
        return handler._replace(request_deserializer=lambda data: read(unzip(data, limit) if data.startswith(_GZIP) else data))


def _unary(serve: Callable[[Any, Any], Awaitable[Any]], method: str) -> Any:
    async def checked(requests: AsyncIterator[Any], context: Any) -> Any:
        try:
            request = await _only(requests, method)
        except GatewayError as error:
            await abort(context, error)
        return await serve(request, context)

    return checked


async def _only(requests: AsyncIterator[Any], method: str) -> Any:
    """The message of a call that has one. Raises MalformedError, SlowError."""
    try:
        async with asyncio.timeout(MESSAGE_TIMEOUT_S):
            request = await anext(requests)
    except StopAsyncIteration:
        raise MalformedError(f"the client ended its call of {method} before a message was complete", field="(message)") from None
    except TimeoutError:
        raise SlowError(f"the message was not complete after {MESSAGE_TIMEOUT_S:g} s", field="(message)") from None
    if isinstance(request, GatewayError):
        raise request
    return request


def _stream(serve: Callable[[Any, Any], Awaitable[Any]]) -> Any:
    async def checked(requests: AsyncIterator[Any], context: Any) -> Any:
        async def readable() -> AsyncIterator[Any]:
            async for request in requests:
                if isinstance(request, GatewayError):
                    raise request
                yield request

        return await serve(readable(), context)

    return checked
