"""`sentinel backtest`: a detector on recorded data, before it watches live data."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from sentinel.backtest.choice import ChoiceError, chosen_detector
from sentinel.backtest.files import FolderError, csv_files, judge_file
from sentinel.backtest.series import judges
from sentinel.config.errors import ConfigError
from services.cli.progress import Progress
from services.cli.safe_text import safe_text


def register(app: typer.Typer) -> None:
    """Add the command to the `sentinel` command."""
    app.command("backtest")(backtest)


def backtest(
    input_dir: Annotated[Path, typer.Option(help="Folder with CSV files (timestamp,value), sub-folders included.")],
    output_dir: Annotated[Path, typer.Option(help="Where the results go, with the same relative paths.")],
    detector: Annotated[str, typer.Option(help="A strategy, or the id of a detector of --config.")] = "auto",
    config: Annotated[Path | None, typer.Option(help="A sentinel-config.yaml whose detector is meant.")] = None,
) -> None:
    """Judge recorded series: writes timestamp,value,anomaly_score,is_anomaly. No row knows of later ones."""
    try:
        chosen = chosen_detector(detector, config)
        new_judge = judges(chosen)
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
    seconds = time.monotonic() - began
    progress.say(
        f"{detector}: {len(names) - failed} files, {rows:,} rows in {seconds:.1f} s, {anomalies:,} anomalies, {failed} files refused"
    )
    if failed:
        raise typer.Exit(1)


def _fail(message: str) -> None:
    print(f"sentinel: {safe_text(message, keep_lines=True)}", file=sys.stderr)
    raise typer.Exit(1)
