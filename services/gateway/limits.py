"""Rates and quotas by tenant: a token bucket in memory, or one that all gateways share through Valkey.

A batch larger than the burst could never pass a bucket that wants its whole size at once. So a batch passes when the bucket holds its size or is full, and
may leave the bucket in debt; over time the rate holds all the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from services.gateway.records import RateLimitedError


class TenantLimit(NamedTuple):
    """Events per second, burst, and events per UTC day (None: as many as come)."""

    events_per_second: float
    burst: int
    events_per_day: int | None = None


class Limiter(Protocol):
    """What the gateway asks before it takes a batch."""

    def look(self, tenant: str) -> None:
        """Raises RateLimitedError when the tenant is known to be over its limit; takes nothing."""

    async def take(self, tenant: str, events: int) -> None:
        """Counts the events for the tenant; raises RateLimitedError, and counts nothing, when they are too many."""


class NoLimit:
    """Rate limiting is switched off."""

    def look(self, tenant: str) -> None:
        """Nobody is over."""

    async def take(self, tenant: str, events: int) -> None:
        """Counts nothing."""


class Limits:
    """The limit of each tenant; with `per_tenant` off, all share one bucket."""

    def __init__(self, default: TenantLimit, own: Mapping[str, TenantLimit], *, per_tenant: bool = True) -> None:
        self._default, self._own, self._per_tenant = default, own, per_tenant

    def bucket_of(self, tenant: str) -> tuple[str, TenantLimit]:
        """Name of the bucket and its limit."""
        limit = self._own.get(tenant)
        if limit is not None:
            return tenant, limit
        return (tenant if self._per_tenant else "*"), self._default


class _Bucket:
    __slots__ = ("at_s", "day", "tokens", "used_today")

    def __init__(self, tokens: float, at_s: float) -> None:
        self.tokens, self.at_s = tokens, at_s
        self.day, self.used_today = -1, 0


class LocalLimiter:
    """Buckets of this process. `clock` gives seconds since the epoch."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.time) -> None:
        self._limits, self._clock = limits, clock
        self._buckets: dict[str, _Bucket] = {}

    def look(self, tenant: str) -> None:
        """See Limiter."""
        name, limit = self._limits.bucket_of(tenant)
        bucket = self._refilled(name, limit)
        if bucket.tokens <= 0:
            raise _over(limit, 1 - bucket.tokens)

    async def take(self, tenant: str, events: int) -> None:
        """See Limiter."""
        self.take_now(tenant, events)

    def take_now(self, tenant: str, events: int) -> None:
        """As `take`, without waiting for anything."""
        name, limit = self._limits.bucket_of(tenant)
        bucket = self._refilled(name, limit)
        wanted = min(events, limit.burst)
        if bucket.tokens < wanted:
            raise _over(limit, wanted - bucket.tokens)
        if limit.events_per_day is not None:
            day, rest_s = divmod(self._clock(), 86_400)
            if bucket.day != day:
                bucket.day, bucket.used_today = int(day), 0
            if bucket.used_today + events > limit.events_per_day:
                raise quota_used(limit, 86_400 - rest_s)
            bucket.used_today += events
        bucket.tokens -= events

    def _refilled(self, name: str, limit: TenantLimit) -> _Bucket:
        now = self._clock()
        bucket = self._buckets.get(name)
        if bucket is None:
            if len(self._buckets) >= 100_000:
                # Names of tenants are the senders' own at an open door: a full bucket is what a new one gets, too.
                self._buckets = {key: one for key, one in self._buckets.items() if now - one.at_s < 60}
            bucket = self._buckets[name] = _Bucket(limit.burst, now)
        bucket.tokens = min(limit.burst, bucket.tokens + (now - bucket.at_s) * limit.events_per_second)
        bucket.at_s = now
        return bucket


def _over(limit: TenantLimit, missing: float) -> RateLimitedError:
    return over_rate(limit, missing / limit.events_per_second)


def over_rate(limit: TenantLimit, wait_s: float) -> RateLimitedError:
    """The error for a tenant over its rate."""
    text = f"over the limit of {limit.events_per_second:,.0f} events per second (burst {limit.burst:,})"
    return RateLimitedError(text, retry_after_s=max(wait_s, 0.001))


def quota_used(limit: TenantLimit, wait_s: float) -> RateLimitedError:
    """The error for a tenant that has used up its day."""
    return RateLimitedError(f"over the quota of {limit.events_per_day:,} events per day (UTC)", retry_after_s=wait_s)
