"""Time intervals and maintenance windows: whether an instant lies inside, in the wall time of an IANA zone."""

from __future__ import annotations

from bisect import bisect_right
from calendar import monthrange
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim

from sentinel.config.runtime import MaintenanceWindow, TimeInterval, TimeRange

_LONGEST_LOOK_BACK = timedelta(days=400)


class Intervals:
    """Named time intervals (Alertmanager's semantics): fields of one entry are ANDed, entries of a field and entries of a name are ORed."""

    def __init__(self, intervals: Iterable[TimeInterval]) -> None:
        self._ranges = {interval.name: [_Range(entry) for entry in interval.ranges] for interval in intervals}

    def containing(self, names: Iterable[str], at_ms: int) -> list[str]:
        """Those of the names whose interval holds the instant (epoch milliseconds)."""
        return [name for name in names if any(entry.contains(at_ms) for entry in self._ranges.get(name, ()))]


class _Range:
    def __init__(self, entry: TimeRange) -> None:
        self._entry = entry
        self._zone = ZoneInfo(entry.location)

    def contains(self, at_ms: int) -> bool:
        entry = self._entry
        local = datetime.fromtimestamp(at_ms // 1000, self._zone)
        minute = local.hour * 60 + local.minute
        return (
            (not entry.minutes or any(start <= minute < end for start, end in entry.minutes))
            and _within(entry.weekdays, local.isoweekday() % 7)
            and (not entry.days_of_month or any(_on_day(first, last, local) for first, last in entry.days_of_month))
            and _within(entry.months, local.month)
            and _within(entry.years, local.year)
        )


def _within(ranges: tuple[tuple[int, int], ...], value: int) -> bool:
    return not ranges or any(first <= value <= last for first, last in ranges)


def _on_day(first: int, last: int, local: datetime) -> bool:
    """Days from the end are negative; days that the month does not have are none."""
    length = monthrange(local.year, local.month)[1]
    begin = length + first + 1 if first < 0 else first
    end = length + last + 1 if last < 0 else last
    return begin <= local.day <= end


class Window:
    """A maintenance window: open from each tick of a cron schedule (wall time of the zone) for the duration.

    In the hour that a change to summer time skips, ticks happen right after it; in the hour that comes twice they happen once (Debian's
    cron). The duration is real time, so a window of two hours is two hours long over a change too.
    """

    def __init__(self, window: MaintenanceWindow) -> None:
        self.name = window.name
        self._schedule, self._zone = window.schedule, ZoneInfo(window.timezone)
        self._duration_ms = round(window.duration_s * 1000)
        self._known: tuple[int, int, list[int]] = (0, 0, [])

    def is_open(self, at_ms: int) -> bool:
        """Whether the instant (epoch milliseconds) lies inside; the end does not."""
        starts = self._starts(at_ms)
        place = bisect_right(starts, at_ms)
        return place > 0 and at_ms < starts[place - 1] + self._duration_ms

    def next_change(self, at_ms: int) -> int:
        """The first instant after the given one at which the window may open or close, at most a day ahead."""
        changes = [change for start in self._starts(at_ms) for change in (start, start + self._duration_ms) if change > at_ms]
        return min(changes, default=self._known[1])

    def _starts(self, at_ms: int) -> list[int]:
        """Starts around the instant; a day's worth is kept, since the next question is mostly near."""
        begin, end, starts = self._known
        if not begin <= at_ms < end:
            look_back = min(timedelta(milliseconds=self._duration_ms), _LONGEST_LOOK_BACK)
            now = datetime.fromtimestamp(at_ms / 1000, UTC)
            begin, end, starts = at_ms, at_ms + 86_400_000, []
            # One minute earlier: the iterator gives what lies after its start.
            first = (now - look_back - timedelta(minutes=1)).astimezone(self._zone)
            for start in CronSim(self._schedule, first):
                starts.append(round(start.astimezone(UTC).timestamp() * 1000))
                if starts[-1] >= end or len(starts) > 500_000:
                    break
            self._known = (begin, end, starts)
        return starts
