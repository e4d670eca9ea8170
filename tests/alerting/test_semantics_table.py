"""The table in docs/alerting.md: all 33 rows, each with tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from scenarios import SCENARIOS

ROOT = Path(__file__).resolve().parents[2]
ROWS = re.findall(r"^\| (\d+) \| (.+) \| (.+) \| (.+) \|$", (ROOT / "docs" / "alerting.md").read_text(), re.MULTILINE)
TESTS = {name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)}


def test_the_table_is_complete() -> None:
    assert [int(number) for number, *_ in ROWS] == list(range(1, 34))
    compared = {name for *_, cell in ROWS for name in re.findall(r"“(.+?)”", cell)}
    unnamed = {scenario.name for scenario in SCENARIOS} - compared
    assert len(unnamed) <= 3, unnamed


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_row_says_how_and_names_tests_that_exist(row: tuple[str, str, str, str]) -> None:
    _, _, here, cell = row
    assert re.match(r"(same|better|different)\b", here)
    tests, compared = re.findall(r"`(test_\w+)`", cell), re.findall(r"“(.+?)”", cell)
    assert tests or compared
    assert set(tests) <= TESTS
    assert set(compared) <= {scenario.name for scenario in SCENARIOS}
