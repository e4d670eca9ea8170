"""Telemetry from a queue of an AMQP 0.9.1 broker (RabbitMQ). A message is acknowledged when its events are durable.

Nobody waits at the other end to hear what was wrong, so refused events go where the jobs put theirs: to the dead-letter topic, with their bytes and the reason.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aio_pika
from aio_pika.abc import AbstractIncomingMessage

from sentinel.config.ingestion import AmqpDoor as Settings
from sentinel.events.rejects import Reject, dlq_record
from services.dispatcher.events import Sparingly, log_event
from services.gateway.gateway import Gateway
from services.gateway.http_body import JSON_TYPES, LINES_TYPES, split_events, unzip
from services.gateway.journal import Journal
from services.gateway.records import GatewayError, KafkaRecord, MalformedError, RateLimitedError, TooLargeError, UnavailableError
from services.gateway.tenants import Principal

MAX_BODY_BYTES = 4_000_000
RECONNECT_S = 5.0


class AmqpDoor:
    """Consumes one queue until it is stopped; a broker that is away is tried again and again."""

    def __init__(self, settings: Settings, url: str, gateway: Gateway, dead_letters: Journal) -> None:
        self._settings, self._url, self._gateway, self._dead_letters = settings, url, gateway, dead_letters
        self._who = Principal(settings.tenant, frozenset((settings.tenant,)))
        self._task: asyncio.Task[None] | None = None
        self._say = Sparingly("amqp_away")

    async def start(self) -> None:
        """Returns at once: the broker need not be there."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """What was taken and not acknowledged goes back to the queue."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                connection = await aio_pika.connect(self._url, timeout=10)
                async with connection:
                    await self._consume(connection)
            except (OSError, aio_pika.exceptions.AMQPError, TimeoutError) as error:
                # The address holds a password: only what kind of trouble it was is said.
                self._say(type(error).__name__)
            await asyncio.sleep(RECONNECT_S)

    async def _consume(self, connection: Any) -> None:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=self._settings.prefetch)
        queue = await channel.declare_queue(self._settings.queue, durable=True)
        log_event("amqp_open", queue=self._settings.queue)
        closed = asyncio.Event()
        connection.close_callbacks.add(lambda *_: closed.set())
        channel.close_callbacks.add(lambda *_: closed.set())
        await queue.consume(self._take)
        await closed.wait()

    async def _take(self, message: AbstractIncomingMessage) -> None:
        """One message. Nothing is acknowledged before it is durable; what cannot be made durable now comes again after a pause."""
        try:
            values = _values(message)
        except GatewayError as error:
            reject = Reject(error.field or "(body)", "events", "something else", error.detail, self._who.tenant_id)
            await self._bury(message, [(message.body, reject)])
            await message.ack()
            return
        while True:
            try:
                _, rejections = await self._gateway.submit("amqp", values, self._who)
                refused = [
                    (values[one.index], Reject(one.field, one.expected, one.found, one.reason, self._who.tenant_id)) for one in rejections
                ]
                await self._bury(message, refused)
                await message.ack()
                return
            except (RateLimitedError, UnavailableError) as error:
                # Waiting here holds the broker back: it sends no more than `prefetch` messages that are not acknowledged.
                await asyncio.sleep(min(error.retry_after_s or 1.0, 30.0))

    async def _bury(self, message: AbstractIncomingMessage, refused: list[tuple[bytes, Reject]]) -> None:
        if not refused:
            return
        now_ms = time.time_ns() // 1_000_000
        place = f"amqp:{self._settings.queue}"
        records = [
            KafkaRecord(
                f"{place}|{number}".encode(),
                dlq_record(
                    value[:MAX_BODY_BYTES],
                    reject,
                    topic=place,
                    partition=number,
                    offset=message.delivery_tag or 0,
                    record_ms=now_ms,
                    failed_ms=now_ms,
                    whole_bytes=len(value),
                ).encode(),
                now_ms,
            )
            for number, (value, reject) in enumerate(refused)
        ]
        await self._dead_letters.submit(records, self._who.tenant_id)


def _values(message: AbstractIncomingMessage) -> list[bytes]:
    body = message.body
    if len(body) > MAX_BODY_BYTES:
        raise TooLargeError(f"expected a message of at most {MAX_BODY_BYTES:,} bytes", field="(body)")
    encoding = (message.content_encoding or "identity").lower()
    if encoding == "gzip":
        body = unzip(body, MAX_BODY_BYTES)
    elif encoding not in ("identity", "utf-8"):
        raise MalformedError(f"content encoding {encoding[:50]!r} is not read: expected gzip or none", field="content-encoding")
    kind = (message.content_type or "").partition(";")[0].strip().lower()
    if kind not in (*JSON_TYPES, *LINES_TYPES):
        # Many publishers say nothing, or application/octet-stream.
        kind = JSON_TYPES[0] if body.lstrip()[:1] == b"[" or b"\n" not in body.strip() else LINES_TYPES[0]
    values = split_events(body, kind)
    if not values:
        raise MalformedError("expected at least one event", field="(body)")
    return values
