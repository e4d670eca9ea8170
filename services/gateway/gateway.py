"""One request through the gateway, whatever door it came by: who, how much, is it good, is it durable."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from sentinel.events.enrichment import Enrichment
from sentinel.events.pairing_settings import PairingSettings
from services.gateway.admission import Admitted, admit
from services.gateway.limits import Limiter
from services.gateway.metrics import DoorMetrics
from services.gateway.records import GatewayError, KafkaRecord, RateLimitedError, Rejection, UnavailableError
from services.gateway.tenants import Principal, Tokens


class Outcome(NamedTuple):
    """What became of a batch: how many events are durable, and which were refused."""

    accepted: int
    rejections: list[Rejection]


class Keeper(Protocol):
    """Where events go behind the doors: the journal of a gateway, the ring of a sidecar."""

    @property
    def takes_events(self) -> bool:
        """Whether there is room for more events."""

    @property
    def spilling(self) -> bool:
        """Whether events go to disk at the moment."""

    def submit(self, records: list[KafkaRecord], tenant_id: str) -> asyncio.Future[None]:
        """Completes when the records are kept. Raises UnavailableError or RateLimitedError, as may the future."""


class Gateway:
    """Shared by all doors."""

    def __init__(
        self,
        tokens: Tokens,
        limiter: Limiter,
        journal: Keeper,
        metrics: DoorMetrics,
        enrichment: Enrichment,
        pairing: Callable[[], PairingSettings] = PairingSettings,
    ) -> None:
        self.tokens, self.limiter, self.journal, self.metrics = tokens, limiter, journal, metrics
        self._enrichment, self._pairing = enrichment, pairing

    def principal(self, credentials: str | None, tenant: str | None = None) -> Principal:
        """See `Tokens.principal`. A tenant that is over its limit is sent away here, before its body is read (RateLimitedError)."""
        who = self.tokens.principal(credentials, tenant)
        if who.allowed is not None:
            self.limiter.look(who.tenant_id)
        return who

    async def submit(self, door: str, values: Sequence[bytes], who: Principal) -> Outcome:
        """Takes raw JSON events; returns when the good ones are durable.

        Raises RateLimitedError, UnavailableError: nothing of the batch is acknowledged, though a part of it may already be in Kafka.
        """
        return await self.submit_admitted(door, admit(values, who, self._enrichment, self._pairing()))

    async def submit_admitted(self, door: str, admitted: Admitted) -> Outcome:
        """As `submit`, for records that are checked."""
        started = time.perf_counter()
        by_tenant, rejections = admitted
        self.metrics.rejected(door, len(rejections))
        accepted = sum(map(len, by_tenant.values()))
        if not accepted:
            return Outcome(0, rejections)
        try:
            for tenant, records in by_tenant.items():
                await self.limiter.take(tenant, len(records))
            waiting = [self.journal.submit(records, tenant) for tenant, records in by_tenant.items()]
            if len(waiting) == 1:
                await waiting[0]
            else:
                await _all_of(waiting)
        except RateLimitedError:
            self.metrics.limited(door, accepted)
            raise
        except UnavailableError:
            self.metrics.unavailable(door, accepted)
            raise
        self.metrics.accepted(door, accepted, time.perf_counter() - started)
        return Outcome(accepted, rejections)


async def _all_of(waiting: list[asyncio.Future[None]]) -> None:
    """Every result is looked at, the first failure raised."""
    errors = [error for error in await asyncio.gather(*waiting, return_exceptions=True) if error is not None]
    if errors:
        raise next((error for error in errors if isinstance(error, GatewayError)), errors[0])
