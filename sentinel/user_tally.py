"""Ten-second user panes from the user counts of one-second blocks."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from sentinel.pane_blocks import UserCounts
from sentinel.panes import USER_PANE_WIDTH_MS, UserPane

_Application = tuple[str, str]
_Parts = dict[_Application, list[UserCounts]]


class UserTally:
    """User counts of a shard wait here until their ten seconds are over. Exact, whatever the order and the cut of the blocks.

    The ten seconds begin `turn_ms` after whole tens.
    """

    def __init__(self, turn_ms: int = 0, waiting: Iterable[tuple[int, UserCounts]] = ()) -> None:
        self._turn_ms = turn_ms
        self._waiting: dict[int, _Parts] = {}
        for start_ms, counts in waiting:
            self._add(start_ms, counts)

    def add(self, second_ms: int, users: Iterable[UserCounts]) -> None:
        """Take the counts of one second."""
        start_ms = second_ms - (second_ms - self._turn_ms) % USER_PANE_WIDTH_MS
        for counts in users:
            self._add(start_ms, counts)

    def close(self, now_ms: int) -> list[UserPane]:
        """The user panes that end at or before `now_ms`, by start, tenant and application."""
        due = sorted(start for start in self._waiting if start + USER_PANE_WIDTH_MS <= now_ms)
        return [pane for start in due for pane in _user_panes(start, self._waiting.pop(start))]

    def next_end_ms(self) -> int | None:
        """When the next user pane is over."""
        return min(self._waiting) + USER_PANE_WIDTH_MS if self._waiting else None

    def waiting(self) -> list[tuple[int, UserCounts]]:
        """What `UserTally` takes to go on from here."""
        return [(start, counts) for start, applications in self._waiting.items() for parts in applications.values() for counts in parts]

    def _add(self, start_ms: int, counts: UserCounts) -> None:
        self._waiting.setdefault(start_ms, {}).setdefault((counts.tenant_id, counts.application_id), []).append(counts)


def _user_panes(start_ms: int, waiting: _Parts) -> list[UserPane]:
    """The panes of all applications at once: they end together, and one by one each would cost as much as ten are."""
    applications = sorted(waiting)
    parts = [part for application in applications for part in waiting[application]]
    hashes = np.frombuffer(b"".join([part.hashes for part in parts]), np.int64)
    counts = np.frombuffer(b"".join([part.counts for part in parts]), np.uint32).astype(np.int64)
    ends = np.cumsum([len(part.hashes) // hashes.itemsize for part in parts])
    owners = np.searchsorted(np.cumsum([len(waiting[application]) for application in applications]), np.arange(len(parts)), "right")
    owner = np.repeat(owners, np.diff(ends, prepend=0))
    # One row a user of an application, application by application.
    order = np.lexsort((hashes, owner))
    hashes, owner = hashes[order], owner[order]
    firsts = np.flatnonzero(np.concatenate(([True], (hashes[1:] != hashes[:-1]) | (owner[1:] != owner[:-1]))))
    events, owner = np.add.reduceat(counts[order], firsts), owner[firsts]
    starts = np.searchsorted(owner, np.arange(len(applications)))
    most = np.maximum.reduceat(events, starts)
    top_users = [""] * len(applications)
    busiest = np.flatnonzero(events == most[owner])
    rows = order[firsts[busiest]]
    numbers = np.searchsorted(ends, rows, "right")
    # Counted from the end of the part, so below 0.
    places = rows - ends[numbers]
    for application, number, place in zip(owner[busiest].tolist(), numbers.tolist(), places.tolist(), strict=True):
        # Of equally busy users the one whose name is last, as in every other tie.
        top_users[application] = max(top_users[application], parts[number].names.split("\n")[place])
    users, totals = np.diff(starts, append=len(owner)).tolist(), np.add.reduceat(events, starts).tolist()
    return [
        UserPane(*names, start_ms, users=many, events=total, top_user=top, top_user_events=top_events)
        for names, many, total, top, top_events in zip(applications, users, totals, top_users, most.tolist(), strict=True)
    ]
