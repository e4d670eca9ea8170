"""`sentinel demo`: everything once, from an empty machine to alerts that somebody received."""

from __future__ import annotations

from typing import Annotated

import typer
from pydantic import ValidationError

from services.stack.errors import StackError
from services.traffic.kafka_out import SendError
from services.traffic.plan import PlanError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


def demo(
    once: Annotated[
        bool,
        typer.Option(
            "--once",
            help="Stop everything afterwards; fail if trouble was missed, calm raised an alert, or none was grouped, escalated and ended.",
        ),
    ] = False,
) -> None:
    """Replay traffic with injected trouble and watch it being found; takes about four minutes once the stack runs."""
    # Here, since it needs half a second that `sentinel --help` should not take.
    from services.demo.run import run_demo

    try:
        passed = run_demo(once=once)
    except (PlanError, ValidationError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error
    except (SendError, StackError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    if once and not passed:
        raise typer.Exit(1)
