"""Output of data: a table for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from services.cli.safe_text import safe_text


class Output(StrEnum):
    """Value of `-o`."""

    table = "table"
    json = "json"


def print_json(data: Any) -> None:
    """Prints indented JSON to stdout."""
    print(json.dumps(data, indent=2))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], numbers: Sequence[str] = ()) -> None:
    """Prints a table to stdout; the columns in `numbers` are right-aligned. Full width when stdout is no terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row))
    Console(width=None if sys.stdout.isatty() else 200, markup=False, highlight=False).print(table)


def duration(seconds: float | None) -> str:
    """`95` → `1m 35s`; empty for None."""
    if seconds is None:
        return ""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h {minutes}m"
    return f"{minutes}m {rest}s" if minutes else f"{rest}s"


def print_rows(rows: Sequence[dict[str, Any]], columns: Sequence[str], output: str, numbers: Sequence[str] = ()) -> None:
    """Rows as a table of the columns, or as JSON; what others wrote is made safe for a terminal."""
    import orjson

    if output == "json":
        sys.stdout.write(orjson.dumps(list(rows), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode())
        return
    shown = [[safe_text(value) if isinstance(value := row[column], str) else value for column in columns] for row in rows]
    print_table(columns, shown, numbers)
