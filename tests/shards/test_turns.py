"""What comes round every ten seconds or every minute comes to each shard at a second of its own, and loses nothing by it."""

from __future__ import annotations

import pytest

from sentinel.pane_blocks import UserCounts
from sentinel.panes import SHARDS, USER_PANE_WIDTH_MS, UserPane, turn_ms
from sentinel.shard import Shard
from sentinel.user_tally import UserTally
from tests.shards.test_shard_state import CONFIG, START_MS, block, trouble

SECONDS = 95


def user_panes(tally: UserTally, first: int, last: int) -> list[UserPane]:
    """What comes of the seconds first to last - 1, closed as event time goes on."""
    found = []
    for second in range(first, last):
        tally.add(START_MS + second * 1000, block(second).users)
        found += tally.close(START_MS + second * 1000 + 1000)
    return found


def test_no_second_has_the_turns_of_many_shards() -> None:
    turns = [turn_ms(shard) for shard in range(SHARDS)]
    assert sorted(set(turns)) == list(range(0, USER_PANE_WIDTH_MS, 1000))
    assert max(turns.count(turn) for turn in turns) == 4


@pytest.mark.parametrize("turn", [0, 3_000, 9_000])
def test_users_are_counted_over_ten_whole_seconds_from_the_turn_on(turn: int) -> None:
    panes = user_panes(UserTally(turn_ms=turn), 0, 40)
    assert [pane.end_ms for pane in panes] == [START_MS + turn + ten for ten in range(0 if turn else 10_000, 40_001 - turn, 10_000)]
    assert {pane.events for pane in panes if pane.start_ms >= START_MS} == {10 * 40}
    assert panes[0].events == (turn // 1000 or 10) * 40


def test_counts_that_wait_in_an_older_checkpoint_end_where_they_would_have() -> None:
    old = UserTally()
    assert not user_panes(old, 0, 5)
    new = UserTally(old.waiting(), turn_ms=3_000)
    panes = user_panes(new, 5, 25)
    assert [((pane.start_ms - START_MS) // 1000, pane.events // 40) for pane in panes] == [(0, 5), (3, 8), (13, 10)]


def test_a_minute_is_handed_out_at_the_turn_and_holds_the_same() -> None:
    def minutes(turn: int) -> dict[int, list[int]]:
        shard = Shard(None, roll_up=True, turn_ms=turn)
        results = [(second, shard.on_second(block(second), START_MS + second * 1000 + 1000)) for second in range(SECONDS)]
        assert shard.next_timer() == START_MS + 120_000 + turn - 1
        return {second + 1: minute.numbers for second, result in results for minute in result.minutes}

    at_once, later = minutes(0), minutes(4_000)
    assert list(at_once) == [60] and list(later) == [64]
    assert list(later.values()) == list(at_once.values())


def test_detectors_of_panes_wait_for_no_turn() -> None:
    def findings(turn: int) -> list[tuple[str, str]]:
        shard = Shard(CONFIG, roll_up=True, turn_ms=turn)
        results = [shard.on_second(part, part.start_ms + 1000) for part in trouble(120)]
        return [(anomaly.anomaly_id, anomaly.first_seen) for result in results for anomaly in result.anomalies]

    assert findings(7_000) == findings(0) != []


def test_a_restored_shard_keeps_its_turn() -> None:
    first = Shard(None, roll_up=True, turn_ms=4_000)
    first.on_second(block(59), START_MS + 60_000)
    assert first.next_timer() == Shard.from_state(first.to_state(), None, roll_up=True, turn_ms=4_000).next_timer() == START_MS + 64_000 - 1


def test_an_application_s_user_is_found_whatever_the_turn() -> None:
    counts = UserCounts("t", "app", block(0).users[0].hashes, block(0).users[0].counts, "ann\nbob")
    for turn in range(0, USER_PANE_WIDTH_MS, 1000):
        tally = UserTally(turn_ms=turn)
        tally.add(START_MS + 12_000, [counts])
        (pane,) = tally.close(START_MS + 60_000)
        assert (pane.top_user, pane.users, pane.end_ms - pane.start_ms) == ("ann", 2, USER_PANE_WIDTH_MS)
        assert pane.start_ms <= START_MS + 12_000 < pane.end_ms and (pane.start_ms - START_MS - turn) % USER_PANE_WIDTH_MS == 0
