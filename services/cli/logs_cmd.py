"""`sentinel logs`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from services.stack.errors import StackError


def tail(path: Path, lines: int) -> int:
    """Prints the last lines of a file; returns the offset behind them."""
    with path.open("rb") as file:
        end = file.seek(0, 2)
        file.seek(max(0, end - 400 * lines))
        found = file.read().decode(errors="replace").splitlines()[-lines:]
    sys.stdout.writelines(f"{line}\n" for line in found)
    return end


def follow(path: Path, offset: int) -> None:
    """Prints what is appended, until interrupted; a file that was rolled is read from its beginning."""
    while True:
        sys.stdout.flush()
        time.sleep(0.3)
        size = path.stat().st_size if path.exists() else 0
        offset = 0 if size < offset else offset
        if size > offset:
            with path.open("rb") as file:
                file.seek(offset)
                sys.stdout.write(file.read().decode(errors="replace"))
                offset = file.tell()


def logs(
    service: Annotated[
        str | None, typer.Argument(help="kafka, postgres, opensearch, jobmanager, taskmanager, supervisor, submit-<job>, …")
    ] = None,
    follow_on: Annotated[bool, typer.Option("--follow", "-f", help="Go on printing what is appended.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="How many of the last lines.")] = 50,
) -> None:
    """Show the last lines of a service's log; without a name, list the logs."""
    from services.stack.paths import Layout, default_home

    folder = Layout(default_home()).logs
    names = sorted(path.stem for path in folder.glob("*.log"))
    if service is None:
        print("\n".join(f"{name}\t{folder / name}.log" for name in names))
        return
    path = folder / f"{service}.log"
    if not path.exists():
        raise StackError(f"There is no log '{service}' in {folder}; there are: {', '.join(names) or 'none'}.")
    offset = tail(path, lines)
    if follow_on:
        follow(path, offset)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("logs")(logs)
