"""The ring: what it holds, what it loses, and in which order."""

from __future__ import annotations

import asyncio

import pytest

from services.gateway.records import TooLargeError, UnavailableError
from services.sidecar.ring import Ring


def named(*numbers: int) -> list[bytes]:
    return [b"%04d" % number for number in numbers]


async def drain(ring: Ring) -> list[bytes]:
    ring.flush()
    found: list[bytes] = []
    while len(ring):
        found += await ring.take(7, 1_000_000, 60.0)
        ring.done()
    return found


def test_the_oldest_go_first() -> None:
    async def scenario() -> None:
        ring = Ring(5)
        ring.put(named(1, 2, 3))
        ring.put(named(4, 5, 6, 7))
        assert ring.dropped_oldest == 2 and len(ring) == 5 and ring.full and ring.size_bytes == 20
        assert await drain(ring) == named(3, 4, 5, 6, 7)
        ring.put(named(*range(12)))
        assert await drain(ring) == named(7, 8, 9, 10, 11), "of a batch that is larger than the ring the end stays"
        assert ring.size_bytes == 0

    asyncio.run(scenario())


def test_the_newest_are_turned_away_and_told() -> None:
    async def scenario() -> None:
        ring = Ring(5, "newest")
        ring.put(named(1, 2, 3, 4))
        with pytest.raises(UnavailableError) as caught:
            ring.put(named(5, 6))
        assert caught.value.retry_after_s == 1.0
        with pytest.raises(TooLargeError):
            ring.put(named(*range(6)))
        ring.put(named(7))
        assert ring.dropped_newest == 8 and ring.dropped_oldest == 0
        assert await drain(ring) == named(1, 2, 3, 4, 7)

    asyncio.run(scenario())


def test_what_is_being_sent_keeps_its_places_until_it_is_given_back() -> None:
    async def scenario() -> None:
        ring = Ring(5)
        ring.put(named(1, 2, 3))
        assert await ring.take(2, 1_000_000, 0.0) == named(1, 2)
        ring.put(named(4, 5, 6, 7))
        assert len(ring) == 5 and ring.dropped_oldest == 2, "3 and 4 went, not those that are on their way"
        ring.give_back()
        assert len(ring) == 5 and await drain(ring) == named(1, 2, 5, 6, 7)
        ring.put(named(1, 2))
        assert await ring.take(2, 1_000_000, 0.0) == named(1, 2)
        ring.resize(1, "oldest")
        ring.give_back()
        assert await drain(ring) == named(2)

    asyncio.run(scenario())


def test_bytes_are_bounded_too() -> None:
    async def scenario() -> None:
        ring = Ring(1_000, max_bytes=20)
        ring.put(named(*range(10)))
        assert len(ring) == 5 and ring.dropped_oldest == 5
        assert await ring.take(100, 9, 60.0) == named(5, 6), "as soon as there are so many bytes, and no more than those"
        ring.done()
        ring.put([b"x" * 8])
        assert await ring.take(2, 9, 60.0) == named(7, 8)
        ring.done()
        assert await ring.take(1, 9, 60.0) == named(9)
        ring.done()
        assert await ring.take(1, 5, 60.0) == [b"x" * 8], "one that is larger goes alone"

    asyncio.run(scenario())


def test_a_batch_waits_for_its_size_or_its_time() -> None:
    async def scenario() -> None:
        ring = Ring(1_000)
        ring.put(named(1))
        full = asyncio.create_task(ring.take(3, 1_000_000, 3_600.0))
        await asyncio.sleep(0.05)
        ring.put(named(2))
        await asyncio.sleep(0.05)
        assert not full.done()
        ring.put(named(3, 4))
        assert await full == named(1, 2, 3)
        ring.done()
        assert await ring.take(3, 1_000_000, 0.01) == named(4), "after its time a part of a batch goes"

    asyncio.run(scenario())
