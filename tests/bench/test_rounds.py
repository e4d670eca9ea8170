"""Rows measured in turns: medians, and shares of a reference that was measured in the same round."""

from __future__ import annotations

from typing import Any

from bench import report, rounds

MACHINE = {"cores": 2, "memory_gib": 24, "system": "Linux", "python": "3.11", "packages": {"apache-flink": "2.3.0"}, "load_before": [0.1]}


def _row(name: str, rate: float, turn: int = 1) -> dict[str, Any]:
    # As the JSON has it: what is at its default is left out.
    row = {"name": name, "what": name, "command": "", "events": 1_000, "rate": rate, "wall_s": 1_000 / rate}
    return row | ({"round": turn} if turn > 1 else {})


def test_medians_and_shares_in_the_same_round() -> None:
    measured = [(100.0, 200.0), (300.0, 200.0), (150.0, 100.0)]
    rows = [
        _row(name, rate, turn) for turn, pair in enumerate(measured, 1) for name, rate in zip(("zscore-sql", "bytewax"), pair, strict=True)
    ]
    lines = rounds.render(rows).splitlines()
    assert lines[0] == "| Steady rates in turns | round 1 | round 2 | round 3 | median |"
    assert lines[2:] == [
        "| zscore-sql | 100 | 300 | 150 | 150 |",
        "| bytewax | 200 | 200 | 100 | 200 |",
        "| zscore-sql of bytewax | 0.50 | 1.50 | 1.50 | 1.50 |",
    ]


def test_a_round_without_a_rate_is_left_out() -> None:
    rows = [_row("standalone", 50.0), _row("bare-decode", 100.0), _row("standalone", 60.0, 2)]
    assert rounds.render(rows).splitlines()[2:] == [
        "| standalone | 50 | 60 | 55 |",
        "| bare-decode | 100 | – | 100 |",
        "| standalone of bare-decode | 0.50 | – | 0.50 |",
    ]


def test_one_round_has_no_table_of_rounds() -> None:
    assert rounds.render([_row("standalone", 50.0), _row("bare-decode", 100.0)]) == ""


def test_the_share_of_bare_is_that_of_the_same_round() -> None:
    rows = [_row("bare-decode", 100.0), _row("standalone", 50.0), _row("bare-decode", 200.0, 2), _row("standalone", 50.0, 2)]
    text = report.render({"begun": "now", "command": "x", "machine": MACHINE, "rows": rows})
    assert [line.split(" | ")[4] for line in text.splitlines() if line.startswith("| standalone | standalone")] == ["0.50", "0.25"]
