"""Rows `timestamp,value` of a CSV file, checked: what is wrong is told with file and line."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

COLUMNS = ("timestamp", "value")
LARGEST = 1e100
"""Beyond it squares of values are no numbers any more."""
EPOCH_MS_FROM = 1e11
"""A plain number below this is an epoch in seconds (until the year 5138), above in milliseconds."""
MISSING = frozenset({"", "nan", "na", "null", "none"})
SHOWN = 60


class RowError(ValueError):
    """A file that cannot be judged; the text names file, line and what was expected."""


@dataclass
class Series:
    """The rows of one file. `stamps` and `texts` are the cells as they were; a missing value is NaN. `notes`: odd, but judged."""

    stamps: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    times_ms: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.values)


def read_series(path: Path, name: str | None = None) -> Series:
    """All rows of a file.

    A missing value (empty, `nan`, `null`) is a gap; a timestamp before its predecessor counts as the predecessor's time. Both are
    noted. Raises RowError for everything else that is not `timestamp,value`; `name` is what messages call the file.
    """
    shown = name or str(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return _read(stream, shown)
    except OSError as error:
        raise RowError(f"{shown}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise RowError(f"{shown}: expected UTF-8 text; byte {error.start} is not") from None
    except csv.Error as error:
        raise RowError(f"{shown}: expected comma-separated values ({error})") from None


def _read(stream: TextIO, name: str) -> Series:
    reader = csv.reader(stream)
    header = next(reader, None)
    if header is None:
        raise RowError(f"{name}: the file is empty; expected a first line timestamp,value")
    columns = [cell.strip().lower() for cell in header]
    absent = [column for column in COLUMNS if column not in columns]
    if absent:
        raise RowError(f"{name}: line 1: expected the columns timestamp and value, found {_show(','.join(header))} without {absent[0]}")
    at_stamp, at_value = columns.index("timestamp"), columns.index("value")
    series = Series()
    gaps, backward = (
        _Count("missing value", "is judged as a gap"),
        _Count("timestamp before its predecessor", "keeps its place in the file"),
    )
    for cells in _filled(reader):
        where = f"{name}: line {reader.line_num}"
        if len(cells) <= max(at_stamp, at_value):
            raise RowError(f"{where}: expected {len(columns)} columns, found {len(cells)}: {_show(','.join(cells))}")
        time_ms, value = parse_time_ms(cells[at_stamp], where), _value(cells[at_value], where)
        if math.isnan(value):
            gaps.add(reader.line_num)
        if series.times_ms and time_ms < series.times_ms[-1]:
            backward.add(reader.line_num)
            time_ms = series.times_ms[-1]
        series.stamps.append(cells[at_stamp])
        series.texts.append(cells[at_value])
        series.times_ms.append(time_ms)
        series.values.append(value)
    series.notes = [f"{name}: {count.text()}" for count in (gaps, backward) if count.lines]
    return series


def _filled(reader: Iterator[list[str]]) -> Iterator[list[str]]:
    """Rows without the blank lines that editors leave at the end."""
    return (cells for cells in reader if cells)


@dataclass
class _Count:
    what: str
    then: str
    first: int = 0
    lines: int = 0

    def add(self, line: int) -> None:
        self.first = self.first or line
        self.lines += 1

    def text(self) -> str:
        more = f" and {self.lines - 1} more" if self.lines > 1 else ""
        return f"line {self.first}{more}: {self.what}: it {self.then}"


def parse_time_ms(text: str, where: str) -> int:
    """Epoch ms of ISO 8601 (without a zone: UTC) or of a number of seconds or milliseconds since 1970. Raises RowError at `where`."""
    cell = text.strip()
    try:
        parsed = datetime.fromisoformat(cell)
    except ValueError:
        pass
    else:
        return round((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp() * 1000)
    try:
        number = float(cell)
    except ValueError:
        number = math.nan
    if not abs(number) < 1e15:
        raise RowError(f"{where}: expected a timestamp such as 2025-11-06 12:34:56 or an epoch, found {_show(text)}")
    return round(number * 1000 if abs(number) < EPOCH_MS_FROM else number)


def _value(text: str, where: str) -> float:
    cell = text.strip()
    if cell.lower() in MISSING:
        return math.nan
    try:
        value = float(cell)
    except ValueError:
        raise RowError(f"{where}: expected a number in column value, found {_show(text)}") from None
    if not abs(value) <= LARGEST:
        raise RowError(f"{where}: expected a finite number of at most {LARGEST:g} in column value, found {_show(text)}")
    return value


def _show(text: str) -> str:
    printable = "".join(character if character.isprintable() else "·" for character in text)
    return f'"{printable}"' if len(printable) <= SHOWN else f'"{printable[:SHOWN]}…"'
