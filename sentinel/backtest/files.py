"""A folder of CSV files through a detector, file by file, into a folder of the same shape."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sentinel.backtest.pane_rows import RowJudge
from sentinel.backtest.rows import RowError, Series, read_series

HEADER = ("timestamp", "value", "anomaly_score", "is_anomaly")


class FolderError(ValueError):
    """The folders cannot be used; the text says why."""


@dataclass(frozen=True)
class FileResult:
    """One file: rows, rows that are anomalies, notes; or the reason why nothing was written."""

    name: str
    rows: int = 0
    anomalies: int = 0
    notes: tuple[str, ...] = ()
    error: str = ""


def csv_files(source: Path, target: Path) -> list[Path]:
    """The CSV files below `source`, relative to it, sorted. Raises FolderError."""
    if not source.is_dir():
        raise FolderError(f"{source}: expected a folder with CSV files")
    if target.exists() and not target.is_dir():
        raise FolderError(f"{target}: expected a folder for the results, found a file")
    inside, outside = source.resolve(), target.resolve()
    if inside == outside:
        raise FolderError(f"{target}: the results would overwrite the input; name another folder")
    found = sorted(
        path.relative_to(source)
        for path in source.rglob("*")
        if path.suffix.lower() == ".csv" and path.is_file() and not path.resolve().is_relative_to(outside)
    )
    if not found:
        raise FolderError(f"{source}: expected at least one .csv file, found none")
    return found


def judge_file(source: Path, target: Path, name: Path, new_judge: Callable[[], RowJudge]) -> FileResult:
    """Judge one file and write its result; a file that is refused leaves no result and an error."""
    shown = str(name)
    try:
        series = read_series(source / name, shown)
        scores, flags = judge_series(series, new_judge(), shown)
    except RowError as error:
        return FileResult(shown, error=str(error))
    try:
        _write(target / name, series, scores, flags)
    except OSError as error:
        return FileResult(shown, error=f"{shown}: the result cannot be written ({error.strerror})")
    return FileResult(shown, len(series), sum(flags), tuple(series.notes))


def judge_series(series: Series, judge: RowJudge, name: str) -> tuple[list[float], list[bool]]:
    """Score and flag of each row; a missing value has score 0 and is not learned."""
    scores, flags = [], []
    for row, (time_ms, value) in enumerate(zip(series.times_ms, series.values, strict=True)):
        try:
            score, anomalous = judge(time_ms, value) if value == value else (0.0, False)
        except ValueError as error:
            raise RowError(f"{name}: row {row + 1} ({series.stamps[row]}): {error}") from None
        scores.append(score)
        flags.append(anomalous)
    return scores, flags


def _write(path: Path, series: Series, scores: list[float], flags: list[bool]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Whoever reads the folder meanwhile sees whole files only.
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(HEADER)
            for stamp, text, score, flag in zip(series.stamps, series.texts, scores, flags, strict=True):
                writer.writerow((stamp, text, f"{score:.6f}", int(flag)))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
