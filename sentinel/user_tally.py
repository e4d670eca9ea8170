"""Ten-second user panes from the user counts of one-second blocks."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from sentinel.pane_blocks import UserCounts
from sentinel.panes import USER_PANE_WIDTH_MS, UserPane

_Group = tuple[int, str, str]


class UserTally:
    """User counts of a shard wait here until their ten seconds are over. Exact, whatever the order and the cut of the blocks."""

    def __init__(self, waiting: Iterable[tuple[int, UserCounts]] = ()) -> None:
        self._waiting: dict[_Group, list[UserCounts]] = {}
        for start_ms, counts in waiting:
            self._add(start_ms, counts)

    def add(self, second_ms: int, users: Iterable[UserCounts]) -> None:
        """Take the counts of one second."""
        start_ms = second_ms - second_ms % USER_PANE_WIDTH_MS
        for counts in users:
            self._add(start_ms, counts)

    def close(self, now_ms: int) -> list[UserPane]:
        """The user panes that end at or before `now_ms`, by start, tenant and application."""
        due = sorted(group for group in self._waiting if group[0] + USER_PANE_WIDTH_MS <= now_ms)
        return [_user_pane(group, self._waiting.pop(group)) for group in due]

    def next_end_ms(self) -> int | None:
        """When the next user pane is over."""
        return min(group[0] for group in self._waiting) + USER_PANE_WIDTH_MS if self._waiting else None

    def waiting(self) -> list[tuple[int, UserCounts]]:
        """What `UserTally` takes to go on from here."""
        return [(group[0], counts) for group, parts in self._waiting.items() for counts in parts]

    def _add(self, start_ms: int, counts: UserCounts) -> None:
        self._waiting.setdefault((start_ms, counts.tenant_id, counts.application_id), []).append(counts)


def _user_pane(group: _Group, parts: list[UserCounts]) -> UserPane:
    hashes: npt.NDArray[np.int64] = np.concatenate([np.frombuffer(part.hashes, np.int64) for part in parts])
    counts = np.concatenate([np.frombuffer(part.counts, np.uint32) for part in parts]).astype(np.int64)
    users, places = np.unique(hashes, return_inverse=True)
    totals = np.zeros(len(users), np.int64)
    np.add.at(totals, places, counts)
    busiest = set(users[totals == totals.max()].tolist())
    # Of equally busy users the one whose name is last, as in every other tie.
    top = max(
        part.names.split("\n")[place]
        for part in parts
        for place, user in enumerate(np.frombuffer(part.hashes, np.int64).tolist())
        if user in busiest
    )
    return UserPane(
        tenant_id=group[1],
        application_id=group[2],
        start_ms=group[0],
        users=len(users),
        events=int(counts.sum()),
        top_user=top,
        top_user_events=int(totals.max()),
    )
