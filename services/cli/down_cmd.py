"""`sentinel down`."""

from __future__ import annotations

import typer

from services.cli.progress import Progress


def down() -> None:
    """Stop the stack: no process and no temporary file stays; data and the list of wanted jobs do."""
    from services.stack.launch import take_down
    from services.stack.paths import Layout, default_home

    progress, layout = Progress(), Layout(default_home())
    stopped = take_down(layout, progress.say)
    progress.say("stopped" if stopped else f"no stack was running for {layout.home}")


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("down")(down)
