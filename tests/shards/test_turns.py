"""What comes round every ten seconds or every minute comes to each shard at a second of its own, and loses nothing by it."""

from __future__ import annotations

import pytest

from sentinel import pane_blocks
from sentinel.pane_blocks import UserCounts
from sentinel.panes import SHARDS, USER_PANE_WIDTH_MS, UserPane, turn_ms
from sentinel.shard import Shard, Step
from sentinel.user_tally import UserTally
from tests.shards.test_shard_state import CONFIG, START_MS, block, trouble

SECONDS = 95


def shard_in_turn(turn: int, detect: bool = False) -> Shard:
    return Shard(CONFIG if detect else None, roll_up=True, turn_ms=turn)


def user_panes(tally: UserTally, first: int, last: int) -> list[UserPane]:
    """What comes of the seconds first to last - 1, closed as event time goes on."""
    found = []
    for second in range(first, last):
        tally.add(START_MS + second * 1000, block(second).users)
        found += tally.close(START_MS + second * 1000 + 1000)
    return found


def test_each_shard_has_a_second_of_its_own() -> None:
    turns = [turn_ms(shard) for shard in SHARDS]
    assert len(set(turns)) == len(SHARDS) and max(turns) < USER_PANE_WIDTH_MS
    assert all(turn % 1000 == 0 for turn in turns)


@pytest.mark.parametrize("turn", [0, 3_000, 9_000])
def test_users_are_counted_over_ten_whole_seconds_from_the_turn_on(turn: int) -> None:
    panes = user_panes(UserTally(turn), 0, 40)
    assert [pane.end_ms for pane in panes] == [START_MS + turn + ten for ten in range(0 if turn else 10_000, 40_001 - turn, 10_000)]
    assert {pane.events for pane in panes if pane.start_ms >= START_MS} == {10 * 40}
    assert panes[0].events == (turn // 1000 or 10) * 40


def test_counts_that_wait_in_a_checkpoint_end_where_they_would_have() -> None:
    before = UserTally(3_000)
    first = user_panes(before, 0, 5)
    panes = user_panes(UserTally(3_000, before.waiting()), 5, 25)
    assert [((pane.start_ms - START_MS) // 1000, pane.events // 40) for pane in [*first, *panes]] == [(-7, 3), (3, 10), (13, 10)]


def test_a_minute_is_handed_out_at_the_turn_and_holds_the_same() -> None:
    def minutes(turn: int) -> dict[int, list[int]]:
        shard = shard_in_turn(turn)
        results = [(second, shard.on_second(block(second), START_MS + second * 1000 + 1000)) for second in range(SECONDS)]
        assert shard.next_timer() == START_MS + 120_000 + turn - 1
        return {second + 1: minute.numbers for second, result in results for minute in result.minutes}

    at_once, later = minutes(0), minutes(4_000)
    assert list(at_once) == [60] and list(later) == [64]
    assert list(later.values()) == list(at_once.values())


def test_detectors_of_panes_wait_for_no_turn() -> None:
    def findings(turn: int) -> list[tuple[str, str]]:
        shard = shard_in_turn(turn, detect=True)
        results = [shard.on_second(part, part.start_ms + 1000) for part in trouble(120)]
        return [(anomaly.anomaly_id, anomaly.first_seen) for result in results for anomaly in result.anomalies]

    assert findings(7_000) == findings(0) != []


def entry(second: int) -> bytes:
    """Of a journal."""
    return Step(START_MS + second * 1000 + 1000, pane_blocks.to_bytes(block(second))).encoded()


def minutes_after(journal: list[bytes], first: int) -> dict[int, list[int]]:
    """Events of the minutes that come of a shard restored from the journal, by the second after which they come."""
    shard = Shard(None, roll_up=True, turn_ms=7_000)
    shard.replay(journal)
    found: dict[int, list[int]] = {}
    for second in range(first, 150):
        for minute in shard.on_second(block(second), START_MS + second * 1000 + 1000).minutes:
            found.setdefault(second + 1, []).append(minute.numbers[0])
    return found


def test_a_minute_that_waits_for_its_turn_is_handed_out_once_after_a_restore() -> None:
    assert minutes_after([entry(second) for second in range(63)], 63) == {67: [60 * 40], 127: [60 * 40]}
    assert minutes_after([entry(second) for second in range(67)], 67) == {127: [60 * 40]}


def test_an_application_s_user_is_found_whatever_the_turn() -> None:
    counts = UserCounts("t", "app", block(0).users[0].hashes, block(0).users[0].counts, "ann\nbob")
    for turn in range(0, USER_PANE_WIDTH_MS, 1000):
        tally = UserTally(turn)
        tally.add(START_MS + 12_000, [counts])
        (pane,) = tally.close(START_MS + 60_000)
        assert (pane.top_user, pane.users, pane.end_ms - pane.start_ms) == ("ann", 2, USER_PANE_WIDTH_MS)
        assert pane.start_ms <= START_MS + 12_000 < pane.end_ms and (pane.start_ms - START_MS - turn) % USER_PANE_WIDTH_MS == 0
