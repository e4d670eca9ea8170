"""One notification from record to receiver: ledger, attempts, dead letter. Knows nothing of Kafka, so that it is tested without.

A notification id is sent once, with one exception: when the process dies after the receiver accepted and before
the ledger's `delivered` is committed, it is sent again after the restart. Webhooks can tell by `Idempotency-Key`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Generic, TypeVar

import stamina

from services.dispatcher.errors import SendError
from services.dispatcher.events import log_event, plain
from services.dispatcher.gate import Gates
from services.dispatcher.ledger import Ledger, Message
from services.dispatcher.notification import digest


class Outcome(StrEnum):
    """What became of a record. In every case its offset may be committed."""

    DELIVERED = "delivered"
    SKIPPED = "skipped"
    DEAD = "dead"


@dataclass(frozen=True)
class RetryPolicy:
    """Attempts and waits in seconds (specification, Fault Tolerance 3). A receiver's Retry-After replaces our wait, up to
    `retry_after_max_s`: an absurd one must not hold the queue for ever. `attempt_timeout_s` bounds what a sender's own
    time-outs do not; `grace_s` is what a send under way gets at a stop."""

    attempts: int = 5
    wait_initial_s: float = 1.0
    wait_max_s: float = 60.0
    multiplier: float = 2.0
    jitter_s: float = 1.0
    retry_after_max_s: float = 600.0
    attempt_timeout_s: float = 45.0
    grace_s: float = 10.0


@dataclass(frozen=True)
class Record:
    """A record of a `notify-*` topic. `again`: it comes back from the dead-letter topic by a replay."""

    topic: str
    partition: int
    offset: int
    value: bytes
    again: bool = False


@dataclass(frozen=True)
class DeadLetter:
    """What is written to the dead-letter topic: the record, why, and who it was for."""

    record: Record
    notification_id: str
    receiver: str
    title: str
    reason: str
    attempts: int


Sent = TypeVar("Sent", bound=Message)
Send = Callable[[Sent], Awaitable[str | None]]
"""Sends one message to the receiver that it names: returns a note or None, raises SendError."""
Bury = Callable[[DeadLetter], Awaitable[None]]
"""Writes a dead letter durably; returns when it is acknowledged."""


class Delivery(Generic[Sent]):
    """Delivers records one at a time; any number of receivers may use one instance at once.

    Args:
        parse: from the record's bytes to the message; raises ValueError, and the record becomes a dead letter.
        policy: the retries in force, asked for every record.
        gates: circuit breakers and rate limits by receiver.
        concerns: whether there is anything to do about a message; if not it is passed over and not booked.
    """

    def __init__(
        self,
        ledger: Ledger,
        send: Send[Sent],
        bury: Bury,
        policy: Callable[[], RetryPolicy] = RetryPolicy,
        gates: Gates | None = None,
        *,
        parse: Callable[[bytes], Sent],
        concerns: Callable[[Sent], Awaitable[bool]] | None = None,
    ) -> None:
        self._concerns = concerns
        self._parse = parse
        self._ledger = ledger
        self._send = send
        self._bury = bury
        self._policy_in_force = policy
        self._gates = gates or Gates()

    async def deliver(self, record: Record) -> Outcome:
        """Sends the record's notification unless it was sent before. Returns when its fate is in the ledger.

        Cancelling stops the waits at once, but lets a send that is under way end and be booked.
        """
        try:
            notification = self._parse(record.value)
        except ValueError as error:
            receiver = record.topic.removeprefix("notify-")
            await self._bury(DeadLetter(record, f"{record.topic}/{record.partition}/{record.offset}", receiver, "", plain(str(error)), 0))
            log_event("dead", receiver=receiver, offset=record.offset, error=plain(str(error)))
            return Outcome.DEAD
        if self._concerns and not await self._concerns(notification):
            return Outcome.SKIPPED
        key = notification.notification_id
        state = await self._ledger.begin(key, notification.receiver, digest(record.value), again=record.again)
        if state != "sending":
            log_event("skipped", notification_id=key, receiver=notification.receiver, state=state)
            return Outcome.SKIPPED
        attempts, policy = 0, self._policy_in_force()
        try:
            async for attempt in _attempts(policy):
                with attempt:
                    await self._gates.passage(notification.receiver, partial(self._ledger.waits, notification))
                    attempts = attempt.num
                    follows_s = attempt.next_wait if attempts < policy.attempts else None
                    await _to_the_end(self._attempt(notification, attempts, policy, follows_s), policy.grace_s)
        except SendError as error:
            letter = DeadLetter(record, key, notification.receiver, notification.title, str(error), attempts)
            await self._bury(letter)
            await self._ledger.dead(notification, str(error))
            log_event("dead", notification_id=key, receiver=notification.receiver, attempts=attempts, error=str(error))
            return Outcome.DEAD
        return Outcome.DELIVERED

    async def _attempt(self, notification: Sent, number: int, policy: RetryPolicy, follows_s: float | None) -> None:
        """One attempt, booked either way; another follows after so many seconds at the earliest, or none."""
        key, receiver = notification.notification_id, notification.receiver
        started = asyncio.get_running_loop().time()
        try:
            with self._gates.attempt(receiver):
                note = await self._bounded(notification, policy.attempt_timeout_s)
        except SendError as error:
            wait_s = None if follows_s is None or not error.retryable else _wait_s(error, policy) or follows_s
            await self._ledger.failed(notification, str(error), wait_s)
            log_event("failed", notification_id=key, receiver=receiver, attempt=number, retryable=error.retryable, error=str(error))
            raise
        took_ms = round((asyncio.get_running_loop().time() - started) * 1000)
        await self._ledger.delivered(notification, note)
        tenant = notification.tenant_id
        log_event("delivered", notification_id=key, receiver=receiver, tenant_id=tenant, attempt=number, took_ms=took_ms, note=note)

    async def _bounded(self, notification: Sent, timeout_s: float) -> str | None:
        """The send, whose only failure is SendError."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._send(notification)
        except TimeoutError:
            raise SendError(f"no answer within {timeout_s:g} s", retryable=True) from None
        except SendError:
            raise
        except Exception as error:
            # A fault of ours in one sender must neither stop the process nor lose the notification.
            raise SendError(f"unexpected {type(error).__name__}", retryable=True) from error


def _wait_s(error: SendError, policy: RetryPolicy) -> float | None:
    """The wait that the receiver asked for instead of ours; None when it did not, or asked for less than our shortest."""
    if error.retry_after_s is None or error.retry_after_s <= policy.wait_initial_s:
        return None
    return min(error.retry_after_s, policy.retry_after_max_s)


def _attempts(policy: RetryPolicy) -> AsyncIterable[stamina.Attempt]:
    def may_retry(error: Exception) -> bool | float:
        if not isinstance(error, SendError) or not error.retryable:
            return False
        return _wait_s(error, policy) or True

    return stamina.retry_context(
        may_retry,
        attempts=policy.attempts,
        timeout=None,
        wait_initial=policy.wait_initial_s,
        wait_max=policy.wait_max_s,
        wait_jitter=policy.jitter_s,
        wait_exp_base=policy.multiplier,
    )


async def _to_the_end(work: Awaitable[None], grace_s: float) -> None:
    """Awaits work that a cancellation must not tear: it may end within the grace, then the cancellation goes on."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        with suppress(Exception):
            await asyncio.wait_for(task, grace_s)
        raise
