"""Everything that is kept of one shard: user panes and minutes that are still open, and the detectors of its keys.

A shard is a function of what it was given: blocks and event time, in order. So a state is a snapshot of some moment and the journal of what came after
it (`operators.journal`), which is written at a fraction of the cost of a snapshot a second.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from sentinel import pane_blocks
from sentinel.anomaly import Anomaly
from sentinel.config.runtime import RuntimeConfig
from sentinel.detection.engine import MAX_KEYS, ShardEngine
from sentinel.detection.facts import Fact
from sentinel.detection.state import StateError, check_version
from sentinel.minute_rollups import Minute, MinuteRollups
from sentinel.pane_blocks import PaneBlock, UserCounts
from sentinel.panes import Pane, UserPane
from sentinel.user_tally import UserTally

STATE_VERSION = 2
"""Also of the journal. Version 1 had 32 shards: what it kept of an application may lie where nobody looks for it now."""

_encoder = msgspec.msgpack.Encoder()


class Step(NamedTuple):
    """An entry of a shard's journal: the block of a second, or event time alone."""

    time_ms: int
    block: bytes

    def encoded(self) -> bytes:
        """For `Shard.replay`."""
        return _encoder.encode([STATE_VERSION, *self])


class Results(NamedTuple):
    """What a step made due."""

    anomalies: list[Anomaly]
    minutes: list[Minute]


class Shard:
    """One shard. Without a configuration it has no detectors; with `roll_up` it makes minutes.

    Users are counted and minutes handed out `turn_ms` after whole tens and whole minutes (`sentinel.panes.turn_ms`).
    """

    def __init__(self, config: RuntimeConfig | None, roll_up: bool, turn_ms: int = 0, max_keys: int = MAX_KEYS) -> None:
        self._engine = None if config is None else ShardEngine.from_state(None, config, max_keys)
        self._tally = UserTally(turn_ms)
        self._minutes = MinuteRollups(turn_ms) if roll_up else None

    def apply_config(self, config: RuntimeConfig) -> None:
        """Put a configuration in force."""
        if self._engine is not None:
            self._engine.apply_config(config)

    def replay(self, journal: Iterable[bytes]) -> None:
        """Take the steps again that came after a snapshot; what came of them has left before the checkpoint.

        Raises:
            StateError: when an entry is none of this version.
        """
        for entry in journal:
            time_ms, block = check_version(msgspec.msgpack.decode(entry), STATE_VERSION, "journal of a shard")
            if block:
                self.on_second(pane_blocks.from_bytes(block), time_ms)
            else:
                self.on_time(time_ms)

    def on_second(self, block: PaneBlock, end_ms: int) -> Results:
        """The whole of the second that ends at `end_ms`; event time has come that far."""
        panes: list[Pane | UserPane | Fact] = []
        if self._minutes is not None:
            self._minutes.add(block)
        if self._engine is not None:
            panes += block.panes()
            panes += block.facts
            self._tally.add(block.start_ms, block.users)
        return self._advance(panes, end_ms - 1)

    def on_time(self, watermark_ms: int) -> Results:
        """Event time has come to the watermark: nothing at or before it will come any more."""
        return self._advance([], watermark_ms)

    def next_timer(self) -> int | None:
        """The watermark at which `on_time` is wanted next. None: never."""
        ends = [end for end in (self._tally.next_end_ms(), self._minutes.next_turn_ms() if self._minutes else None) if end is not None]
        due = [end - 1 for end in ends]
        if self._engine is not None and (timer := self._engine.next_timer()) is not None:
            due.append(timer)
        return min(due, default=None)

    def _advance(self, panes: list[Pane | UserPane | Fact], watermark_ms: int) -> Results:
        minutes = self._minutes.close(watermark_ms + 1) if self._minutes else []
        if self._engine is None:
            return Results([], minutes)
        panes += self._tally.close(watermark_ms + 1)
        return Results(self._engine.on_panes(panes, watermark_ms), minutes)

    def to_state(self) -> bytes:
        """Versioned (msgpack)."""
        engine = b"" if self._engine is None else self._engine.to_state()
        minutes = None if self._minutes is None else self._minutes.to_state()
        return _encoder.encode([STATE_VERSION, engine, self._tally.waiting(), minutes])

    @classmethod
    def from_state(cls, state: bytes, config: RuntimeConfig | None, roll_up: bool, turn_ms: int = 0, max_keys: int = MAX_KEYS) -> Shard:
        """The shard as it was at `to_state`, under the given configuration.

        Raises:
            StateError: when the bytes are no state of this version.
        """
        shard = cls(config, roll_up, turn_ms, max_keys)
        try:
            decoded: Any = msgspec.msgpack.decode(state)
        except msgspec.DecodeError as error:
            raise StateError(f"shard of {len(state)} bytes is not msgpack: {error}") from error
        engine, waiting, minutes = check_version(decoded, STATE_VERSION, "shard")
        if config is not None:
            shard._engine = ShardEngine.from_state(engine, config, max_keys)
        shard._tally = UserTally(turn_ms, ((start, msgspec.convert(counts, UserCounts)) for start, counts in waiting))
        if shard._minutes is not None and minutes is not None:
            shard._minutes.from_state(minutes)
        return shard
