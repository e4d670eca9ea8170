"""`sentinel reset`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from services.cli.progress import Progress
from services.stack.errors import StackError


def reset(yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False) -> None:
    """Stop the stack and delete its data, logs and checkpoints. Downloaded jars stay."""
    from services.stack.launch import reset as reset_stack
    from services.stack.paths import Layout, default_home

    progress, layout = Progress(), Layout(default_home())
    if not yes:
        if not sys.stdin.isatty():
            raise StackError(f"'sentinel reset' deletes all data below {layout.home}; confirm it with --yes.")
        typer.confirm(f"Delete all data below {layout.home}?", abort=True, err=True)
    reset_stack(layout, progress.say)
    progress.say(f"{layout.home} is empty")


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("reset")(reset)
