"""One token bucket a tenant for all gateways, in Valkey (or Redis); without Valkey each gateway goes on with buckets of its own.

Asking Valkey for every batch would put a round trip into every acknowledgement. So a gateway takes tokens ahead, a tenth of a second's worth, and spends
them from memory: limits are exact over a second or so, and a gateway that dies loses what it had taken ahead, no more.
"""

from __future__ import annotations

import asyncio
import time

import redis.asyncio as redis
from redis.exceptions import RedisError

from services.dispatcher.events import Sparingly
from services.gateway.limits import Limits, LocalLimiter, TenantLimit, over_rate, quota_used

PREFIX = "sentinel:ingest:"
AHEAD_S = 0.1
TIMEOUT_S = 0.2
AWAY_S = 2.0
"""After a failure Valkey is not asked for so long."""

# KEYS: bucket, day. ARGV: rate, burst, events needed now, events wanted (needed and ahead), quota of the day (0: none).
# Valkey's own clock counts: those of gateways differ. Answers {tokens granted, ms to wait, 1 when the quota is used up}.
_TAKE = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6
local rate, burst, needed, wanted, quota = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local state = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = burst
if state[1] then tokens = math.min(burst, tonumber(state[1]) + math.max(0, now - tonumber(state[2])) * rate) end
local granted, wait = 0, 0
local enough = math.min(needed, burst)
if tokens < enough then
  wait = math.ceil((enough - tokens) / rate * 1000)
else
  granted = math.max(needed, math.min(wanted, math.floor(tokens)))
  if quota > 0 then
    local day = KEYS[2] .. math.floor(now / 86400)
    local used = tonumber(redis.call('GET', day) or '0')
    if used + needed > quota then return {0, math.ceil((86400 - now % 86400) * 1000), 1} end
    granted = math.min(granted, quota - used)
    redis.call('INCRBY', day, granted)
    redis.call('EXPIRE', day, 172800)
  end
  tokens = tokens - granted
end
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'at', string.format('%.6f', now))
redis.call('EXPIRE', KEYS[1], 3600)
return {granted, wait, 0}
"""


class SharedLimiter:
    """Limiter of several gateways. `fallbacks` counts batches that the local buckets judged."""

    def __init__(self, url: str, limits: Limits, local: LocalLimiter) -> None:
        self._limits, self._local = limits, local
        self._client = redis.Redis.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S)
        self._take_script = self._client.register_script(_TAKE)
        self._ahead: dict[str, int] = {}
        self._closed_until: dict[str, float] = {}
        self._asking: dict[str, asyncio.Lock] = {}
        self._away_until = 0.0
        self._say = Sparingly("valkey_away")
        self.fallbacks = 0

    def look(self, tenant: str) -> None:
        """See Limiter: whom Valkey has just sent away is not asked about again before the time that it named."""
        name, limit = self._limits.bucket_of(tenant)
        left = self._closed_until.get(name, 0.0) - time.monotonic()
        if left > 0:
            raise over_rate(limit, left)
        self._closed_until.pop(name, None)

    async def take(self, tenant: str, events: int) -> None:
        """See Limiter."""
        name, limit = self._limits.bucket_of(tenant)
        if self._spend(name, events):
            return
        if time.monotonic() < self._away_until:
            self._fall_back(tenant, events)
            return
        lock = self._asking.setdefault(name, asyncio.Lock())
        async with lock:
            # Another batch of the tenant may have fetched enough meanwhile.
            if self._spend(name, events):
                return
            try:
                await self._fetch(name, limit, events)
            except (RedisError, OSError, TimeoutError) as error:
                self._away_until = time.monotonic() + AWAY_S
                self._say(type(error).__name__)
                self._fall_back(tenant, events)

    async def close(self) -> None:
        """Ends the connections."""
        await self._client.aclose()

    def _spend(self, name: str, events: int) -> bool:
        left = self._ahead.get(name, 0) - events
        if left < 0:
            return False
        self._ahead[name] = left
        return True

    async def _fetch(self, name: str, limit: TenantLimit, events: int) -> None:
        needed = events - self._ahead.get(name, 0)
        wanted = needed + int(limit.events_per_second * AHEAD_S)
        keys = [f"{PREFIX}{{{name}}}:bucket", f"{PREFIX}{{{name}}}:day:"]
        granted, wait_ms, quota_is_used = await self._take_script(
            keys=keys, args=[limit.events_per_second, limit.burst, needed, wanted, limit.events_per_day or 0]
        )
        if granted == 0:
            if quota_is_used:
                raise quota_used(limit, wait_ms / 1000)
            self._closed_until[name] = time.monotonic() + min(wait_ms / 1000, 1.0)
            raise over_rate(limit, wait_ms / 1000)
        self._ahead[name] = self._ahead.get(name, 0) + granted - events

    def _fall_back(self, tenant: str, events: int) -> None:
        self.fallbacks += 1
        self._local.take_now(tenant, events)
