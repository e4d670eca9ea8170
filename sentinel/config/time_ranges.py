"""Times of day and ranges of days, months and years as people write them (Alertmanager's time intervals)."""

from __future__ import annotations

import re
from typing import Final

_CLOCK: Final = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])|24:00")
_WEEKDAYS: Final = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_MONTHS: Final = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)


def minutes_of(clock: str) -> int:
    """Minutes since midnight of `HH:MM` (up to 24:00). Raises ValueError."""
    found = _CLOCK.fullmatch(clock)
    if not found:
        raise ValueError(f"expected a time such as 08:30 (up to 24:00), found {clock!r}")
    return 1440 if found[1] is None else int(found[1]) * 60 + int(found[2])


def range_of(field: str, entry: str | int) -> tuple[int, int]:
    """First and last number of a range as people write it: `monday:friday`, `1:5`, `-1`, `may`, 2025.

    Raises:
        ValueError: when it is not one of the field, or runs backwards.
    """
    first, _, last = str(entry).strip().lower().partition(":")
    begin = _number(field, first)
    end = _number(field, last) if last else begin
    if field == "days_of_month":
        if (begin < 0) != (end < 0) and begin < 0:
            raise ValueError(f"expected a range that does not begin before the end of the month and end after its begin, found {entry!r}")
        forward = begin <= end if (begin < 0) == (end < 0) else True
    else:
        forward = begin <= end
    if not forward:
        raise ValueError(f"expected a range that runs forward, found {entry!r}")
    return begin, end


def _number(field: str, text: str) -> int:
    names = {"weekdays": _WEEKDAYS, "months": _MONTHS}.get(field, ())
    if text in names:
        return names.index(text) + (field == "months")
    limits: tuple[int, int] | None = {"weekdays": None, "months": (1, 12), "days_of_month": (-31, 31), "years": (0, 9999)}[field]
    number = int(text) if re.fullmatch(r"-?[0-9]{1,4}", text) else None
    if limits is not None and number is not None and limits[0] <= number <= limits[1] and (number != 0 or field == "years"):
        return number
    wanted = {"weekdays": "a weekday such as monday", "months": "a month such as may or 5", "years": "a year such as 2026"}
    raise ValueError(f"expected {wanted.get(field, 'a day of the month, 1 to 31 or -31 to -1')}, found {text!r}")
