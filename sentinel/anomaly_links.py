"""Which live anomalies of a tenant stand next to each other, kept up as they come and go.

Every anomaly has its nearest ones in order of distance in time (ties: smaller id), at most twice as many as may be related: enough to lose some
without looking at all of them again.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Collection

from sentinel.live_anomaly import Record, relates


class AnomalyLinks:
    """Neighbours by id. `most`: how many may be related; `window_ms`: how far apart."""

    def __init__(self, window_ms: int, most: int) -> None:
        self.window_ms, self.most = window_ms, most
        self._near: dict[str, list[tuple[int, str]]] = {}
        self._more: set[str] = set()
        """Ids that have further neighbours than those kept."""

    def add(self, record: Record, others: Collection[Record]) -> list[Record]:
        """Link a record with all others; those that belong to it."""
        name = record.anomaly.anomaly_id
        self._near[name] = []
        found = [other for other in others if other is not record and relates(record, other, self.window_ms)]
        for other in found:
            gap_ms = abs(other.first_ms - record.first_ms)
            self._insert(name, gap_ms, other.anomaly.anomaly_id)
            self._insert(other.anomaly.anomaly_id, gap_ms, name)
        return found

    def remove(self, record: Record, others: Collection[Record]) -> None:
        """Forget a record; `others` are those that stay."""
        name = record.anomaly.anomaly_id
        self._near.pop(name, None)
        self._more.discard(name)
        for other in others:
            other_name = other.anomaly.anomaly_id
            near = self._near.get(other_name)
            if near is None:
                continue
            place = self._place(near, abs(other.first_ms - record.first_ms), name)
            if place is not None:
                del near[place]
                if len(near) < self.most and other_name in self._more:
                    self._look_again(other, others)

    def related(self, record: Record) -> list[str]:
        """Ids that the record is related to: each is among the nearest `most` of the other."""
        name = record.anomaly.anomaly_id
        found = []
        for gap_ms, other in self._near.get(name, [])[: self.most]:
            place = self._place(self._near[other], gap_ms, name)
            if place is not None and place < self.most:
                found.append(other)
        return found

    def _insert(self, name: str, gap_ms: int, other: str) -> None:
        near = self._near[name]
        insort(near, (gap_ms, other))
        if len(near) > 2 * self.most:
            near.pop()
            self._more.add(name)

    def _look_again(self, record: Record, others: Collection[Record]) -> None:
        name = record.anomaly.anomaly_id
        self._near[name] = []
        self._more.discard(name)
        for other in others:
            if other is not record and other.anomaly.anomaly_id in self._near and relates(record, other, self.window_ms):
                self._insert(name, abs(other.first_ms - record.first_ms), other.anomaly.anomaly_id)

    @staticmethod
    def _place(near: list[tuple[int, str]], gap_ms: int, name: str) -> int | None:
        place = bisect_left(near, (gap_ms, name))
        return place if place < len(near) and near[place] == (gap_ms, name) else None
