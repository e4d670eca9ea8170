"""`sentinel backtest` over folders of CSV files: what it writes, and what it says about bad input."""

from __future__ import annotations

import csv
import math
import random
from pathlib import Path

import pytest

from services.cli.main import run


def write(path: Path, lines: list[str], header: str = "timestamp,value") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def stamp(row: int) -> str:
    minutes = row * 5
    return f"2025-11-{1 + minutes // 1440:02d} {minutes // 60 % 24:02d}:{minutes % 60:02d}:00"


def noisy(rows: int, seed: int = 1) -> list[float]:
    chance = random.Random(seed)
    return [round(50 + 10 * math.sin(row / 20) + chance.gauss(0, 1), 3) for row in range(rows)]


def lines(values: list[float]) -> list[str]:
    return [f"{stamp(row)},{value}" for row, value in enumerate(values)]


def backtest(source: Path, target: Path, *more: str) -> int:
    return run(["backtest", "--input-dir", str(source), "--output-dir", str(target), *more])


def result(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_every_row_is_judged_in_order_at_the_same_relative_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = noisy(1500)
    values[1200] = 400.0
    write(tmp_path / "in" / "a" / "b" / "deep.csv", lines(values))
    write(tmp_path / "in" / "calm.csv", lines(noisy(300)))
    (tmp_path / "in" / "notes.txt").write_text("not a series")
    assert backtest(tmp_path / "in", tmp_path / "out") == 0
    assert sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()) == [
        "a/b/deep.csv",
        "calm.csv",
    ]
    rows = result(tmp_path / "out" / "a" / "b" / "deep.csv")
    assert list(rows[0]) == ["timestamp", "value", "anomaly_score", "is_anomaly"]
    assert [(row["timestamp"], row["value"]) for row in rows] == [tuple(line.split(",")) for line in lines(values)]
    assert all(0.0 <= float(row["anomaly_score"]) <= 1.0 for row in rows)
    assert all((float(row["anomaly_score"]) >= 0.5) == (row["is_anomaly"] == "1") for row in rows)
    assert rows[1200]["is_anomaly"] == "1"
    assert max(range(len(rows)), key=lambda row: float(rows[row]["anomaly_score"])) == 1200
    said = capsys.readouterr()
    assert "2 files, 1,800 rows" in said.err
    assert said.out == ""


def test_no_row_knows_of_later_ones(tmp_path: Path) -> None:
    values = [*noisy(900), *(value * 4 for value in noisy(300, 2))]
    write(tmp_path / "whole" / "s.csv", lines(values))
    write(tmp_path / "cut" / "s.csv", lines(values[:950]))
    assert backtest(tmp_path / "whole", tmp_path / "out-whole") == backtest(tmp_path / "cut", tmp_path / "out-cut") == 0
    assert result(tmp_path / "out-whole" / "s.csv")[:950] == result(tmp_path / "out-cut" / "s.csv")


def test_the_unit_of_the_values_does_not_matter(tmp_path: Path) -> None:
    values = noisy(800)
    values[600] = 90.0
    # Powers of two leave every rounding as it is.
    for name, factor in (("a", 1.0), ("b", 2.0**-20), ("c", 2.0**30)):
        write(tmp_path / "in" / f"{name}.csv", lines([value * factor for value in values]))
    assert backtest(tmp_path / "in", tmp_path / "out") == 0
    scores = [[row["anomaly_score"] for row in result(tmp_path / "out" / f"{name}.csv")] for name in "abc"]
    assert scores[0] == scores[1] == scores[2]


def test_constant_missing_backward_and_repeated_rows_have_sane_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = lines(noisy(400))
    rows[100] = f"{stamp(100)},"
    rows[101] = f"{stamp(101)},NaN"
    rows[200] = rows[199]
    rows[300] = f"{stamp(10)},50"
    write(tmp_path / "in" / "odd.csv", rows)
    write(tmp_path / "in" / "constant.csv", lines([7.0] * 300))
    write(tmp_path / "in" / "none.csv", [])
    assert backtest(tmp_path / "in", tmp_path / "out") == 0
    odd = result(tmp_path / "out" / "odd.csv")
    assert len(odd) == 400
    assert [odd[row]["anomaly_score"] for row in (100, 101)] == ["0.000000"] * 2
    assert {row["anomaly_score"] for row in result(tmp_path / "out" / "constant.csv")} == {"0.000000"}
    assert result(tmp_path / "out" / "none.csv") == []
    said = capsys.readouterr().err
    assert "odd.csv: line 102 and 1 more: missing value" in said
    assert "odd.csv: line 302: timestamp before its predecessor" in said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "bad.csv: the file is empty; expected a first line timestamp,value"),
        ("timestamp,reading\n2025-11-01,1\n", "bad.csv: line 1: expected the columns timestamp and value, found"),
        ("timestamp,value\n2025-11-01,1\n2025-11-02,high\n", 'bad.csv: line 3: expected a number in column value, found "high"'),
        ("timestamp,value\n2025-11-01,1\n2025-11-02,inf\n", 'bad.csv: line 3: expected a finite number of at most 1e+100 in column value, found "inf"'),
        ("timestamp,value\nyesterday,1\n", 'bad.csv: line 2: expected a timestamp such as 2025-11-06 12:34:56 or an epoch, found "yesterday"'),
        ("timestamp,value\n2025-11-01\n", 'bad.csv: line 2: expected 2 columns, found 1: "2025-11-01"'),
    ],
)  # fmt: skip
def test_a_bad_file_is_named_with_its_line_and_the_others_are_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, expected: str
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "bad.csv").write_text(text)
    write(tmp_path / "in" / "good.csv", lines(noisy(60)))
    assert backtest(tmp_path / "in", tmp_path / "out") == 1
    assert expected in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.csv"]


def test_binary_rubbish_is_refused_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "bad.csv").write_bytes(bytes(range(256)) * 4)
    assert backtest(tmp_path / "in", tmp_path / "out") == 1
    assert "bad.csv: expected UTF-8 text; byte" in capsys.readouterr().err


def test_folders_that_cannot_be_used_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "in" / "a.csv", lines(noisy(10)))
    assert backtest(tmp_path / "nowhere", tmp_path / "out") == 1
    assert "expected a folder with CSV files" in capsys.readouterr().err
    assert backtest(tmp_path / "in", tmp_path / "in") == 1
    assert "would overwrite the input" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert backtest(tmp_path / "empty", tmp_path / "out") == 1
    assert "at least one .csv file" in capsys.readouterr().err


def test_results_inside_the_input_are_not_judged_again(tmp_path: Path) -> None:
    write(tmp_path / "in" / "a.csv", lines(noisy(60)))
    for _ in range(2):
        assert backtest(tmp_path / "in", tmp_path / "in" / "out") == 0
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*.csv"))] == ["in/a.csv", "in/out/a.csv"]


def test_an_unknown_detector_is_refused_with_the_nearest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "in" / "a.csv", lines(noisy(10)))
    assert backtest(tmp_path / "in", tmp_path / "out", "--detector", "autto") == 1
    assert "no detector is called 'autto'; did you mean auto?" in capsys.readouterr().err


CONFIG = """
version: v1
detection:
  detectors:
    items:
      - {id: too-high, type: rule, strategy: threshold, config: {metric: latency_ms, value: 90, window: 5m, consecutive: 2}}
      - {id: steady, type: statistical, strategy: robust, config: {metric: latency_ms, threshold: 8, direction: up}}
      - {id: words, type: rule, strategy: pattern, config: {patterns: [x]}}
"""


@pytest.mark.parametrize("strategy", ["auto", "zscore", "moving_average", "percentile", "robust", "seasonal", "change_point", "arima"])
def test_every_strategy_that_judges_values_finds_a_jump_and_leaves_a_constant_alone(tmp_path: Path, strategy: str) -> None:
    chance = random.Random(6)
    calm = [round(chance.gauss(50, 1), 3) for _ in range(700)]
    write(tmp_path / "in" / "jump.csv", lines([*calm, *(value + 60 for value in calm[:60])]))
    write(tmp_path / "in" / "constant.csv", lines([7.0] * 300))
    assert backtest(tmp_path / "in", tmp_path / "out", "--detector", strategy) == 0
    assert [row for row in result(tmp_path / "out" / "constant.csv") if row["is_anomaly"] == "1"] == []
    alarms = [number for number, row in enumerate(result(tmp_path / "out" / "jump.csv")) if row["is_anomaly"] == "1"]
    assert [row for row in alarms if 700 <= row < 715], alarms
    assert len([row for row in alarms if row < 700]) <= 6, alarms


def test_silence_and_flat_line_are_found_by_the_row_that_shows_them(tmp_path: Path) -> None:
    rows = lines(noisy(600))
    write(tmp_path / "in" / "gap.csv", rows[:300] + rows[400:])
    write(tmp_path / "in" / "stuck.csv", lines([*noisy(300), *[50.5] * 100]))
    assert backtest(tmp_path / "in", tmp_path / "silence", "--detector", "silence") == 0
    assert [n for n, row in enumerate(result(tmp_path / "silence" / "gap.csv")) if row["is_anomaly"] == "1"] == [300]
    assert backtest(tmp_path / "in", tmp_path / "flat", "--detector", "flat_line") == 0
    assert [n for n, row in enumerate(result(tmp_path / "flat" / "stuck.csv")) if row["is_anomaly"] == "1"] == [300 + 59]


def test_a_detector_of_a_configuration_is_meant_by_its_id(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "my.yaml").write_text(CONFIG)
    values = [*noisy(300), 95.0, 60.0, *[95.0] * 4, *noisy(20)]
    write(tmp_path / "in" / "a.csv", lines(values))
    with_config = ("--config", str(tmp_path / "my.yaml"), "--detector")
    assert backtest(tmp_path / "in", tmp_path / "out", *with_config, "too-high") == 0
    # Two in a row, and said once.
    assert [n for n, row in enumerate(result(tmp_path / "out" / "a.csv")) if row["is_anomaly"] == "1"] == [303]
    assert backtest(tmp_path / "in", tmp_path / "out", *with_config, "steady") == 0
    capsys.readouterr()
    assert backtest(tmp_path / "in", tmp_path / "out", *with_config, "stedy") == 1
    assert "did you mean steady?" in capsys.readouterr().err
    assert backtest(tmp_path / "in", tmp_path / "out", *with_config, "words") == 1
    assert "has strategy pattern, which does not judge rows" in capsys.readouterr().err
    (tmp_path / "bad.yaml").write_text(CONFIG.replace("threshold: 8", "treshold: 8"))
    assert backtest(tmp_path / "in", tmp_path / "out", "--config", str(tmp_path / "bad.yaml"), "--detector", "steady") == 1
    assert "did you mean threshold?" in capsys.readouterr().err


def test_what_a_strategy_cannot_judge_is_told_with_file_and_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "in" / "signed.csv", lines([*noisy(40), -3.5]))
    assert backtest(tmp_path / "in", tmp_path / "out", "--detector", "percentile") == 1
    assert (
        "signed.csv: row 41 (2025-11-01 03:20:00): percentile compares multiples and needs values of at least 0" in capsys.readouterr().err
    )
    assert backtest(tmp_path / "in", tmp_path / "out", "--detector", "threshold") == 1
    assert "a threshold needs a number `value`" in capsys.readouterr().err


@pytest.mark.parametrize("strategy", ["zscore", "seasonal", "arima", "silence"])
def test_no_strategy_looks_ahead(tmp_path: Path, strategy: str) -> None:
    values = [*noisy(420), *(value * 3 for value in noisy(80, 2))]
    write(tmp_path / "whole" / "s.csv", lines(values))
    write(tmp_path / "cut" / "s.csv", lines(values[:450]))
    for folder in ("whole", "cut"):
        assert backtest(tmp_path / folder, tmp_path / f"out-{folder}", "--detector", strategy) == 0
    assert result(tmp_path / "out-whole" / "s.csv")[:450] == result(tmp_path / "out-cut" / "s.csv")
