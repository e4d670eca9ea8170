"""Which values a series has taken: a bounded set of points, and how far a new value lies from all of them."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

CELLS = 100
"""Points lie at least 1/100 of the range apart: the gap that matters is several times larger."""
MIN_POINTS = 3
SWEEP_ROWS = 256


class ValueCoverage:
    """The values of the last `memory` rows, thinned out, without the newest `delay` ones.

    The gap of a value is its distance to the nearest point as a share of the range: outside the range it says how far outside, inside how
    empty the place is. The delay keeps a value that slides slowly into new territory from covering its own tracks.
    """

    __slots__ = ("_points", "_recent", "_seen", "delay", "memory", "rows")

    def __init__(self, memory: int, delay: int) -> None:
        self.memory, self.delay = memory, delay
        self.rows = 0
        self._points: list[float] = []
        self._seen: list[int] = []
        self._recent: list[float] = []

    def gap(self, value: float) -> float:
        """Distance to the nearest point as a share of the range, 0 while there is nothing to compare with. Learns the value."""
        points = self._points
        found = 0.0
        if len(points) >= MIN_POINTS:
            span = points[-1] - points[0]
            place = bisect_left(points, value)
            above = points[place] - value if place < len(points) else float("inf")
            below = value - points[place - 1] if place else float("inf")
            found = min(above, below) / span
        self.rows += 1
        self._recent.append(value)
        if len(self._recent) > self.delay:
            self._cover(self._recent.pop(0))
        if self.rows % SWEEP_ROWS == 0:
            self._forget()
        return found

    def _cover(self, value: float) -> None:
        points, seen = self._points, self._seen
        place = bisect_left(points, value)
        step = (points[-1] - points[0]) / CELLS if points else 0.0
        for near in (place - 1, place):
            # Ends are kept exact, since the range is measured from them.
            if 0 <= near < len(points) and abs(points[near] - value) <= (step if 0 < place < len(points) else 0.0):
                seen[near] = self.rows
                return
        points.insert(place, value)
        seen.insert(place, self.rows)
        if len(points) > CELLS + CELLS // 2:
            self._thin()

    def _forget(self) -> None:
        oldest = self.rows - self.memory
        kept = [(point, row) for point, row in zip(self._points, self._seen, strict=True) if row >= oldest]
        self._points, self._seen = [point for point, _ in kept], [row for _, row in kept]
        self._thin()

    def _thin(self) -> None:
        """Drop points that are closer to their neighbour than a cell; the range may have grown since they came."""
        if len(self._points) < MIN_POINTS:
            return
        step = (self._points[-1] - self._points[0]) / CELLS
        points, seen = self._points[:1], self._seen[:1]
        last = len(self._points) - 1
        for index in range(1, last + 1):
            point, row = self._points[index], self._seen[index]
            if point - points[-1] < step and index < last:
                seen[-1] = max(seen[-1], row)
            else:
                points.append(point)
                seen.append(row)
        self._points, self._seen = points, seen

    def to_state(self) -> list[Any]:
        return [self.rows, self._points, self._seen, self._recent]

    def from_state(self, state: Any) -> None:
        rows, points, seen, recent = state
        self.rows, self._points, self._seen, self._recent = rows, list(points), list(seen), list(recent)
