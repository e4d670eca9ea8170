"""A message that is no protobuf of its type is the client's mistake: INVALID_ARGUMENT, where grpc itself says UNKNOWN and writes a stack trace."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from services.gateway.grpc_errors import abort
from services.gateway.records import MalformedError

_UNREADABLE = object()


class ReadingInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Reads requests so that a broken one ends its call with a status that says so."""

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any) -> Any:
        """The method's handler, with its reading replaced."""
        handler = await continuation(handler_call_details)
        if handler is None or handler.request_deserializer is None:
            return handler
        method: str = handler_call_details.method
        read = handler.request_deserializer

        def deserialize(data: bytes) -> Any:
            try:
                return read(data)
            except DecodeError:
                return _UNREADABLE

        handler = handler._replace(request_deserializer=deserialize)
        if handler.unary_unary is not None:
            return handler._replace(unary_unary=_unary(handler.unary_unary, method))
        if handler.stream_unary is not None:
            return handler._replace(stream_unary=_stream(handler.stream_unary, method))
        return handler._replace(request_deserializer=read)


def _unary(serve: Callable[[Any, Any], Awaitable[Any]], method: str) -> Any:
    async def checked(request: Any, context: Any) -> Any:
        if request is _UNREADABLE:
            await abort(context, _broken(method))
        return await serve(request, context)

    return checked


def _stream(serve: Callable[[Any, Any], Awaitable[Any]], method: str) -> Any:
    async def checked(requests: AsyncIterator[Any], context: Any) -> Any:
        async def readable() -> AsyncIterator[Any]:
            async for request in requests:
                if request is _UNREADABLE:
                    raise _broken(method)
                yield request

        return await serve(readable(), context)

    return checked


def _broken(method: str) -> MalformedError:
    return MalformedError(f"the message is not what {method} reads", field="(message)")
