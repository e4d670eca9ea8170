"""`sentinel backtest`: a detector on recorded data, before it watches live data."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from sentinel.backtest.choice import ChoiceError, chosen_detector
from sentinel.backtest.files import FolderError, csv_files, judge_file
from sentinel.backtest.series import judges
from sentinel.config.errors import ConfigError
from services.cli.output import Output
from services.cli.progress import Progress
from services.cli.safe_text import safe_text


def register(app: typer.Typer) -> None:
    """Add the command to the `sentinel` command."""
    app.command("backtest")(backtest)


def backtest(
    input_dir: Annotated[Path | None, typer.Option(help="Folder with CSV files (timestamp,value), sub-folders included.")] = None,
    output_dir: Annotated[Path | None, typer.Option(help="Where the results go, with the same relative paths.")] = None,
    detector: Annotated[
        str | None, typer.Option(help="A strategy, or the id of a detector of --config. Default: auto; with --from-store: all.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="A sentinel-config.yaml whose detector is meant.")] = None,
    from_store: Annotated[
        bool, typer.Option("--from-store", help="Replay stored minutes instead of files, and show what would fire.")
    ] = False,
    since: Annotated[str, typer.Option(help="With --from-store: how far back, such as 24h or 7d.")] = "24h",
    tenant: Annotated[str | None, typer.Option(help="With --from-store: this tenant alone.")] = None,
    application: Annotated[str | None, typer.Option(help="With --from-store: this application alone.")] = None,
    metric: Annotated[str, typer.Option(help="With --from-store and a strategy: the metric that it watches.")] = "latency_ms",
    output: Annotated[Output, typer.Option("--output", "-o", help="With --from-store: table or json.")] = Output.table,
    dsn: Annotated[str | None, typer.Option(help="Postgres DSN; default: SENTINEL_POSTGRES_DSN, else the running stack.")] = None,
) -> None:
    """Judge recorded series: writes timestamp,value,anomaly_score,is_anomaly. No row knows of later ones."""
    if from_store:
        if input_dir or output_dir:
            _fail("expected either folders or --from-store, found both")
        from services.cli.backtest_store import from_stored_minutes

        from_stored_minutes(detector, config, since, tenant, application, metric, output, dsn, _fail)
        return
    if input_dir is None or output_dir is None:
        _fail("expected --input-dir and --output-dir, or --from-store")
    _files(input_dir, output_dir, detector or "auto", config)


def _files(input_dir: Path, output_dir: Path, detector: str, config: Path | None) -> None:
    try:
        new_judge = judges(chosen_detector(detector, config))
        names = csv_files(input_dir, output_dir)
    except (ChoiceError, ConfigError, FolderError, ValueError) as error:
        _fail(str(error))
    progress, began, rows, anomalies, failed = Progress(), time.monotonic(), 0, 0, 0
    for number, name in enumerate(names, 1):
        progress.update(f"{number}/{len(names)} {safe_text(str(name))}")
        result = judge_file(input_dir, output_dir, name, new_judge)
        for line in (*result.notes, *([result.error] if result.error else [])):
            progress.say(safe_text(line))
        rows, anomalies, failed = rows + result.rows, anomalies + result.anomalies, failed + bool(result.error)
    seconds, judged = time.monotonic() - began, len(names) - failed
    progress.say(f"{detector}: {judged} files, {rows:,} rows in {seconds:.1f} s, {anomalies:,} anomalies, {failed} files refused")
    if failed:
        raise typer.Exit(1)


def _fail(message: str) -> NoReturn:
    print(f"sentinel: {safe_text(message, keep_lines=True)}", file=sys.stderr)
    raise typer.Exit(1)
