"""A sequence of events of one key within a time: A then B, n times, not B after A (event patterns as in CEP engines, skip till next match).

Of all runs at the same place only the one that began last matters: whatever completes an older one completes it too, and it expires later. So a
key holds at most one run a place, and whether a match ends at an event is decided exactly, in bounded state (compare SASE's match buffers,
Agrawal et al. 2008).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

MAX_EVENTS_KEPT = 10


class Run(msgspec.Struct, array_like=True):
    """A partial match: when it began, when its last event was, and its first events' ids."""

    start_ms: int
    last_ms: int
    events: list[str]

    def longer(self, time_ms: int, event: str) -> Run:
        """The run with one event more."""
        events = [*self.events, event] if event and len(self.events) < MAX_EVENTS_KEPT else self.events
        return Run(self.start_ms, time_ms, events)


class Place(NamedTuple):
    """What is waited for: the bit of an event, and the bit of one that must not come before it (-1: none)."""

    bit: int
    forbidden: int = -1


class Match(NamedTuple):
    """A completed sequence; `end_ms` is the last event's time, or the end of the waiting for one that did not come."""

    start_ms: int
    end_ms: int
    events: list[str]


class Pattern:
    """The places of a sequence. `steps` are (bit, times, absent); an absent last step makes the sequence complete when its time is over."""

    def __init__(self, steps: Sequence[tuple[int, int, bool]], within_ms: int) -> None:
        self.within_ms = within_ms
        self.places: list[Place] = []
        forbidden = -1
        for bit, times, absent in steps:
            if absent:
                forbidden = bit
                continue
            self.places.append(Place(bit, forbidden))
            self.places += [Place(bit)] * (times - 1)
            forbidden = -1
        self.absent_at_end = forbidden


class SequenceState(msgspec.Struct, array_like=True):
    """One key: `runs[i]` has come to place i (its first i events are there); `waiting`: complete but for the absence, oldest and newest."""

    runs: dict[int, Run] = {}
    waiting: list[Run] = []
    last_ms: int = 0

    def feed(self, pattern: Pattern, mask: int, time_ms: int, event: str) -> Match | None:
        """Take one event with its conditions; the match that it completes, after which the key begins afresh."""
        self.last_ms = max(self.last_ms, time_ms)
        if pattern.absent_at_end >= 0 and mask >> pattern.absent_at_end & 1:
            self.waiting = []
        self._drop(pattern, mask, time_ms)
        places = pattern.places
        # From the back, so that one event takes a run on by one place only.
        for place in sorted(self.runs, reverse=True):
            if mask >> places[place].bit & 1:
                longer = self.runs[place].longer(time_ms, event)
                if place + 1 < len(places):
                    self._place(place + 1, longer)
                elif pattern.absent_at_end < 0:
                    self.runs = {}
                    return Match(longer.start_ms, time_ms, longer.events)
                else:
                    self.waiting = [*self.waiting[:1], longer]
        if mask >> places[0].bit & 1:
            first = Run(time_ms, time_ms, [event] if event else [])
            if len(places) > 1:
                self._place(1, first)
            else:
                self.waiting = [*self.waiting[:1], first]
        return None

    def due(self, pattern: Pattern) -> int | None:
        """When the oldest waiting absence is certain: `within` after its first event."""
        return self.waiting[0].start_ms + pattern.within_ms if self.waiting else None

    def expire(self, pattern: Pattern) -> Match:
        """The absence that is due, taken out."""
        run = self.waiting.pop(0)
        return Match(run.start_ms, run.start_ms + pattern.within_ms, run.events)

    def idle(self, pattern: Pattern, now_ms: int) -> bool:
        """Whether nothing that was seen can matter any more."""
        return not self.waiting and self.last_ms + pattern.within_ms < now_ms

    def _place(self, place: int, run: Run) -> None:
        known = self.runs.get(place)
        if known is None or run.start_ms >= known.start_ms:
            self.runs[place] = run

    def _drop(self, pattern: Pattern, mask: int, time_ms: int) -> None:
        gone = [
            place
            for place, run in self.runs.items()
            if time_ms - run.start_ms > pattern.within_ms
            or (pattern.places[place].forbidden >= 0 and mask >> pattern.places[place].forbidden & 1)
        ]
        for place in gone:
            del self.runs[place]
