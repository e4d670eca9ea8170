"""Rows that were measured several times in turns: one run on a shared machine swings by a fifth, the middle of several side by side does not."""

from __future__ import annotations

import statistics
from typing import Any

REFERENCES = ("bare-decode", "bytewax", "bytewax-snapshots", "quix")
"""What other rows are measured against."""


def render(rows: list[dict[str, Any]]) -> str:
    """Rates of each round, and of each reference the share in the same round; empty when nothing was measured twice."""
    rates: dict[str, dict[int, float]] = {}
    for row in rows:
        if row.get("rate"):
            rates.setdefault(row["name"], {})[row.get("round", 1)] = row["rate"]
    rounds = sorted({number for measured in rates.values() for number in measured})
    if len(rounds) < 2:
        return ""
    lines = [
        "| Steady rates in turns | " + " | ".join(f"round {number}" for number in rounds) + " | median |",
        "|---|" + "--:|" * (len(rounds) + 1),
    ]
    lines += [_line(name, measured, rounds, ",.0f") for name, measured in rates.items()]
    for name, measured in rates.items():
        for reference in REFERENCES:
            beside = rates.get(reference, {})
            shares = {number: rate / beside[number] for number, rate in measured.items() if number in beside}
            if name not in REFERENCES and shares:
                lines.append(_line(f"{name} of {reference}", shares, rounds, ".2f"))
    return "\n".join(lines)


def _line(name: str, values: dict[int, float], rounds: list[int], form: str) -> str:
    cells = [format(values[number], form) if number in values else "–" for number in rounds]
    return "| " + " | ".join([name, *cells, format(statistics.median(values.values()), form)]) + " |"
