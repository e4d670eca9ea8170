"""Active hours of an alert definition: wall-clock times of a time zone, so that daylight saving moves them with the people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sentinel.config.runtime import Schedule

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MINUTES_A_DAY = 24 * 60
_MINUTE_MS = 60_000
_SEARCH_MINUTES = 9 * _MINUTES_A_DAY
"""Any weekly schedule opens within a week; two days more cover a transition at its edge."""


class ActiveHours:
    """When a definition may notify: on `days`, from `start` to before `end`.

    `end` 23:59 means the end of the day (the pattern of the specification has no 24:00). A `start` after `end` spans midnight and belongs
    to the day on which it starts. Equal times mean the whole day. No days means every day.

    Raises:
        ValueError: for an unknown time zone.
    """

    def __init__(self, schedule: Schedule) -> None:
        try:
            self._zone = ZoneInfo(schedule.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"schedule.timezone: expected an IANA time zone such as Europe/Paris, found {schedule.timezone!r}") from None
        self._start = _minutes(schedule.start or "00:00")
        end = _minutes(schedule.end or "23:59")
        self._end = _MINUTES_A_DAY if end == _MINUTES_A_DAY - 1 or end == self._start else end
        if end == self._start:
            self._start = 0
        self._days = frozenset(_DAYS.index(day) for day in schedule.days) or frozenset(range(7))
        self._answered: tuple[int, int | None] | None = None

    def is_active(self, at_ms: int) -> bool:
        """Whether the instant (epoch milliseconds) lies in the active hours."""
        local = datetime.fromtimestamp(at_ms // 1000, self._zone)
        minute, day = local.hour * 60 + local.minute, local.weekday()
        if self._start < self._end:
            return day in self._days and self._start <= minute < self._end
        return (day in self._days and minute >= self._start) or ((day - 1) % 7 in self._days and minute < self._end)

    def next_active(self, at_ms: int) -> int | None:
        """The first active instant at or after the given one, to the minute; None when there is none.

        Walks the minutes of the wall clock, which is exact across daylight saving, and remembers the answer, since every group that
        waits for the opening asks the same.
        """
        if self.is_active(at_ms):
            return at_ms
        if self._answered and self._answered[0] <= at_ms < (self._answered[1] or at_ms):
            return self._answered[1]
        minute = datetime.fromtimestamp(at_ms // _MINUTE_MS * 60, UTC)
        for _ in range(_SEARCH_MINUTES):
            minute += timedelta(minutes=1)
            opening = int(minute.timestamp()) * 1000
            if self.is_active(opening):
                self._answered = (at_ms, opening)
                return opening
        return None


def _minutes(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)
