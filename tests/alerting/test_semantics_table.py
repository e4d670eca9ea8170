"""The tables in docs/alerting.md: all 33 semantics and every kind of bad input, each with tests that exist, and of which there is one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from scenarios import SCENARIOS

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs" / "alerting.md").read_text()
ROWS = re.findall(r"^\| (\d+) \| (.+) \| (.+) \| (.+) \|$", DOCUMENT, re.MULTILINE)
TESTS = [
    f"{path.relative_to(ROOT)}::{name}"
    for path in sorted((ROOT / "tests").rglob("test_*.py"))
    for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
]


def places(cell: str) -> dict[str, list[str]]:
    """Where the tests are that a cell names."""
    return {name: [test for test in TESTS if test.partition("::")[2] == name] for name in re.findall(r"`(test_\w+)`", cell)}


def test_the_table_is_complete() -> None:
    assert [int(number) for number, *_ in ROWS] == list(range(1, 34))
    compared = {name for *_, cell in ROWS for name in re.findall(r"“(.+?)”", cell)}
    unnamed = {scenario.name for scenario in SCENARIOS} - compared
    assert len(unnamed) <= 3, unnamed


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_row_says_how_and_names_tests_that_exist(row: tuple[str, str, str, str]) -> None:
    _, _, here, cell = row
    assert re.match(r"(same|better|different)\b", here)
    tests, compared = places(cell), re.findall(r"“(.+?)”", cell)
    assert tests or compared
    assert {name: found for name, found in tests.items() if len(found) != 1} == {}
    assert set(compared) <= {scenario.name for scenario in SCENARIOS}


@pytest.mark.parametrize(("page", "count"), [("alerting.md", 14), ("anomalies.md", 15)])
def test_every_kind_of_bad_input_has_its_tests(page: str, count: int) -> None:
    section = (ROOT / "docs" / page).read_text().partition("\n## Bad input\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.+) \| (.+) \| (`test_.+) \|$", section, re.MULTILINE)
    assert len(rows) == count
    named = [place for *_, cell in rows for place in places(cell).items()]
    assert {name: found for name, found in named if len(found) != 1} == {}
