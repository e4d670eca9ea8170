"""A shard read back from its snapshot and journal goes on as if nothing had happened."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import msgspec
import numpy as np
import pytest

from sentinel import pane_blocks
from sentinel.config.load import default_config
from sentinel.config.runtime import RuntimeConfig
from sentinel.detection.state import StateError
from sentinel.minute_rollups import STORED_COLUMNS, Minute, minutes_of
from sentinel.pane_blocks import PANE_SUMS, PaneBlock, UserCounts
from sentinel.shard import Results, Shard

START_MS = 1_767_225_600_000
CONFIG = RuntimeConfig.from_snapshot(1, default_config().config.to_snapshot())


def block(second: int, calls: int = 40, latency_ms: float = 200.0, key: tuple[str, str, str] = ("t", "app", "m")) -> PaneBlock:
    """One second of one model, every call alike but for a little noise from the second's number."""
    latency_us = round(latency_ms * 1000 * (1 + 0.02 * ((second * 7) % 5 - 2)))
    log = round(1000 * np.log1p(latency_us / 1000))
    sums = dict.fromkeys(PANE_SUMS, 0) | {"events": calls, "calls": calls, "latency_count": calls, "latency_sum_us": calls * latency_us}
    sums |= {"latency_log_sum": calls * log, "latency_log_sumsq": calls * log * log}
    histogram = np.zeros((1, 36), np.int64)
    histogram[0, 14] = calls
    event = uuid.UUID(int=second + 1).bytes
    users = UserCounts(key[0], key[1], np.array([1, 2], np.int64).tobytes(), np.array([calls - 1, 1], np.uint32).tobytes(), "ann\nbob")
    return PaneBlock(
        START_MS + second * 1000,
        [key],
        np.array([[sums[name] for name in PANE_SUMS]], np.int64),
        histogram,
        np.array([[latency_us, 0, 0]], np.int64),
        [event + bytes(32) + event],
        [users],
    )


def trouble(seconds: int) -> Iterator[PaneBlock]:
    """Calm, then latency times five."""
    for second in range(seconds):
        yield block(second, latency_ms=1000.0 if second > seconds * 0.8 else 200.0)


def run(shard: Shard, blocks: list[PaneBlock]) -> list[Results]:
    return [shard.on_second(part, part.start_ms + 1000) for part in blocks]


def comparable(results: list[Results]) -> list[tuple[list[str], list[Minute]]]:
    """Without the processing time at which an anomaly was written."""
    return [([f"{a.anomaly_id} {a.first_seen} {a.score}" for a in result.anomalies], result.minutes) for result in results]


@pytest.mark.parametrize("at", [1, 61, 250])
def test_a_restored_shard_goes_on_as_the_first_would_have(at: int) -> None:
    blocks = list(trouble(300))
    undisturbed = Shard(CONFIG, roll_up=True)
    wanted = comparable(run(undisturbed, blocks))
    assert any(anomalies for anomalies, _ in wanted) and any(minutes for _, minutes in wanted)
    first = Shard(CONFIG, roll_up=True)
    run(first, blocks[:at])
    restored = Shard.from_state(first.to_state(), CONFIG, roll_up=True)
    assert comparable(run(restored, blocks[at:])) == wanted[at:]
    later_ms = START_MS + 600_000
    silent = comparable([undisturbed.on_time(later_ms)])
    assert silent[0][0] and comparable([restored.on_time(later_ms)]) == silent


def test_the_journal_is_as_good_as_the_state() -> None:
    blocks = list(trouble(120))
    first, snapshot_at = Shard(CONFIG, roll_up=True), 70
    run(first, blocks[:snapshot_at])
    snapshot = first.to_state()
    journal = [pane_blocks.to_bytes(part) for part in blocks[snapshot_at:100]]
    wanted = comparable(run(first, blocks[snapshot_at:]))[30:]
    again = Shard.from_state(snapshot, CONFIG, roll_up=True)
    run(again, [pane_blocks.from_bytes(entry) for entry in journal])
    assert comparable(run(again, blocks[100:])) == wanted


def test_minutes_close_with_event_time_and_hold_every_second_of_theirs() -> None:
    shard = Shard(None, roll_up=True)
    found = [minute for result in run(shard, [block(second, calls=second + 1) for second in range(90)]) for minute in result.minutes]
    assert [(minute.start_ms, dict(zip(STORED_COLUMNS, minute.numbers, strict=True))["events"]) for minute in found] == [
        (START_MS, 60 * 61 // 2)
    ]
    due = shard.next_timer()
    assert due == START_MS + 120_000 - 1
    assert not shard.on_time(due - 1).minutes
    late = shard.on_time(due).minutes
    assert [minute.numbers[0] for minute in late] == [sum(range(61, 91))]
    assert shard.next_timer() is None


def test_late_blocks_add_to_the_minute_in_which_they_happened() -> None:
    (minute,) = minutes_of(block(75))
    numbers = dict(zip(STORED_COLUMNS, minute.numbers, strict=True))
    assert minute.start_ms == START_MS + 60_000
    assert numbers["latency_hist_7"] == 40 and numbers["latency_max_us"] > 0


def test_another_version_is_refused_in_words() -> None:
    with pytest.raises(StateError, match="state version 99 found"):
        Shard.from_state(msgspec.msgpack.encode([99]), CONFIG, roll_up=True)
    with pytest.raises(StateError, match="not msgpack"):
        Shard.from_state(b"\xc1", CONFIG, roll_up=True)


def test_what_thirty_two_shards_kept_is_refused_in_words() -> None:
    """What it holds of an application may lie in another shard now, where it would raise a silence that is none."""
    with pytest.raises(StateError, match="state version 1 found, this release reads version 2"):
        Shard.from_state(msgspec.msgpack.encode([1, b"", [], None]), CONFIG, roll_up=True)
    with pytest.raises(StateError, match=f"journal of a shard: state version {START_MS} found"):
        Shard(CONFIG, roll_up=True).replay([msgspec.msgpack.encode([START_MS, pane_blocks.to_bytes(block(0)), 3_000])])
