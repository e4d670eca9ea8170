"""Detectors on files of the Numenta Anomaly Benchmark: `python -m bench.nab FOLDER` with `data/*/*.csv` and `windows.json`.

Prints the score of each detector by family, with the one threshold that suits all files best (chosen with hindsight, as the leaderboard
does) and with 0.5, fixed beforehand; then false alarms, windows found, and microseconds a row.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.nab_scoring import PROFILES, ScoredFile, at, best, scored_file
from bench.row import Row
from sentinel.backtest.choice import ChoiceError, chosen_detector
from sentinel.backtest.files import judge_series
from sentinel.backtest.rows import RowError, Series, parse_time_ms, read_series
from sentinel.backtest.series import judges, row_strategies
from services.stack.paths import project_root

FIXED = 0.5
DEFAULT_CORPUS = project_root().parent / "shared" / "data" / "nab-dev"
"""Beside the checkout; the corpus is not part of it."""


@dataclass(frozen=True)
class CorpusFile:
    """One file: its rows, and its anomaly windows as row ranges, both ends included."""

    series: Series
    windows: list[tuple[int, int]]


def load_corpus(folder: Path) -> dict[str, CorpusFile]:
    """Every file that `windows.json` names, by family/name. Raises RowError, OSError, ValueError."""
    labels = json.loads((folder / "windows.json").read_text())
    corpus = {}
    for name, spans in labels.items():
        series = read_series(folder / "data" / name, name)
        corpus[name] = CorpusFile(series, [window for span in spans if (window := _rows(series, span)) is not None])
    return corpus


def _rows(series: Series, span: list[str]) -> tuple[int, int] | None:
    first, last = (parse_time_ms(stamp, "windows.json") for stamp in span)
    begin, end = bisect_left(series.times_ms, first), bisect_right(series.times_ms, last) - 1
    return (begin, end) if begin <= end else None


def scored(corpus: dict[str, CorpusFile], detector: str, config: Path | None = None) -> dict[str, ScoredFile]:
    """Every file through the detector. Raises ChoiceError, and RowError for a file that the detector cannot judge."""
    new_judge = judges(chosen_detector(detector, config))
    files = {}
    for name, file in corpus.items():
        scores, _ = judge_series(file.series, new_judge(), name)
        files[name] = scored_file(np.array(scores), file.windows)
    return files


def families(names: Iterable[str]) -> list[str]:
    """Family folders in the order of the names."""
    return list(dict.fromkeys(name.split("/")[0] for name in names))


def run(row: Row, folder: Path) -> Row:
    """The row: every detector that judges rows, as a table; a note when the corpus is not there."""
    if not (folder / "windows.json").is_file():
        row.details = {"not run": f"no windows.json in {folder.name}; name the corpus with --nab"}
        return row
    head, _, *lines = table(load_corpus(folder), row_strategies(), None).splitlines()
    names = [cell.strip() for cell in head.strip("|").split("|")][1:]
    notes = [line for line in lines if line and not line.startswith("|")]
    for line in lines:
        if line.startswith("|"):
            detector, *cells = (cell.strip() for cell in line.strip("|").split("|"))
            row.details[detector] = dict(zip(names, cells, strict=True))
    row.details |= {"notes": "; ".join(notes)} if notes else {}
    return row


def table(corpus: dict[str, CorpusFile], detectors: list[str], config: Path | None) -> str:
    """Markdown: a line a detector."""
    groups = families(corpus)
    with_windows = [group for group in groups if any(file.windows for name, file in corpus.items() if name.startswith(f"{group}/"))]
    head = [
        "Detector",
        *(profile.name.replace("_", " ") for profile in PROFILES),
        "at 0.5",
        *with_windows,
        "found",
        "false alarms",
        "µs a row",
    ]
    notes: list[str] = []
    lines = ["| " + " | ".join(head) + " |", "|---|" + "--:|" * (len(head) - 1)]
    for detector in detectors:
        print(f"nab: {detector}", file=sys.stderr)
        began = time.process_time()
        try:
            files = scored(corpus, detector, config)
        except ChoiceError:
            raise
        except ValueError as error:
            lines.append(f"| {detector} |" + " – |" * (len(head) - 1))
            notes.append(f"{detector}: {error}")
            continue
        micros = (time.process_time() - began) * 1e6 / sum(len(file.series) for file in corpus.values())
        top = [best(files, profile) for profile in PROFILES]
        fixed = at(files, PROFILES[0], FIXED)
        by_family = (
            at({name: file for name, file in files.items() if name.startswith(f"{group}/")}, PROFILES[0], top[0].threshold).score
            for group in with_windows
        )
        cells = [detector, *(f"{result.score:.1f}" for result in top), f"{fixed.score:.1f}", *(f"{score:.1f}" for score in by_family)]
        cells += [f"{fixed.found} of {fixed.windows}", str(fixed.false_alarms), f"{micros:.1f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, *([""] if notes else []), *notes])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.nab", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder with data/FAMILY/FILE.csv and windows.json")
    parser.add_argument("--detector", action="append", help="which (again for several); default: every one that judges rows")
    parser.add_argument("--config", type=Path, help="a configuration with the detector")
    options = parser.parse_args()
    try:
        corpus = load_corpus(options.folder)
        print(table(corpus, options.detector or row_strategies(), options.config))
    except (ChoiceError, RowError, OSError, ValueError) as error:
        sys.exit(f"nab: {error}")


if __name__ == "__main__":
    main()
