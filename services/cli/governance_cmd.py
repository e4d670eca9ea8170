"""`sentinel governance`: push metrics to the Governance Dashboard, once or every minute."""

from __future__ import annotations

import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from services.cli.connection import NoAddressError, kafka_bootstrap, postgres_dsn
from services.cli.safe_text import safe_text

app = typer.Typer(no_args_is_help=True, help="The Governance Dashboard: metrics push.")


@app.callback()
def _group() -> None:
    """The Governance Dashboard: metrics push."""


@app.command("push")
def push(
    once: Annotated[bool, typer.Option("--once", help="Push what is due and end.")] = False,
    interval: Annotated[str, typer.Option(help="Time between pushes.")] = "60s",
    since: Annotated[
        str | None, typer.Option(help="Push again from this long ago, such as 6h; the dashboard replaces what it has.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="A configuration file instead of the configuration in force.")] = None,
    bootstrap: Annotated[str | None, typer.Option(help="Kafka; default: SENTINEL_KAFKA_BOOTSTRAP, else the running stack.")] = None,
    dsn: Annotated[str | None, typer.Option(help="Postgres; default: SENTINEL_POSTGRES_DSN, else the running stack.")] = None,
) -> None:
    """Push metrics of whole minutes out of Postgres until Ctrl-C; what fails is pushed with the next turn."""
    from sentinel.config.units import parse_duration

    stop = threading.Event()
    try:
        pause_s = max(1.0, parse_duration(interval))
        start = datetime.now(UTC) - timedelta(seconds=parse_duration(since)) if since else None
        while True:
            began = time.monotonic()
            failed = not _turn(config, bootstrap, postgres_dsn(dsn), start)
            if once:
                raise typer.Exit(1 if failed else 0)
            start = start if failed else None
            stop.wait(max(0.0, pause_s - (time.monotonic() - began)))
    except (NoAddressError, ValueError) as error:
        print(safe_text(str(error)), file=sys.stderr)
        raise typer.Exit(1) from None


def _turn(config: Path | None, bootstrap: str | None, dsn: str, since: datetime | None) -> bool:
    """One push; whether it went well. Says what it did, or in one sentence why not."""
    import psycopg

    from services.dlq.errors import DlqError
    from services.governance.push import PushError, dashboard
    from services.governance.push import push as push_now

    try:
        done = push_now(dsn, dashboard(_snapshot(config, bootstrap)), since=since)
    except (PushError, DlqError) as error:
        print(safe_text(str(error)), file=sys.stderr)
        return False
    except psycopg.Error as error:
        print(f"the metrics cannot be read: {str(error).strip().splitlines()[0]}", file=sys.stderr)
        return False
    if done:
        print(
            f"{sum(turn.metrics for turn in done):,} metrics of {done[0].start:%Y-%m-%dT%H:%MZ} to {done[-1].end:%Y-%m-%dT%H:%MZ}",
            flush=True,
        )
    return True


def _snapshot(config: Path | None, bootstrap: str | None) -> dict[str, Any]:
    if config is None:
        from services.dispatcher.config_watch import config_in_force

        return config_in_force(kafka_bootstrap(bootstrap))[1]
    from sentinel.config.errors import ConfigError
    from sentinel.config.load import load_config

    try:
        return load_config(config).config.to_snapshot()
    except (ConfigError, OSError) as error:
        raise ValueError(str(error)) from None
