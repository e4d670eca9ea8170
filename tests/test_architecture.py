"""The rooms of the house and their one-way dependencies."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("jobs", "operators", "udfs", "sentinel", "services", "schemas", "clients")
MAY_IMPORT = {
    "jobs": {"jobs", "operators", "udfs", "sentinel"},
    "operators": {"operators", "sentinel"},
    "udfs": {"udfs", "operators", "sentinel"},
    "sentinel": {"sentinel"},
    "services": {"services", "sentinel", "schemas"},
    "schemas": {"schemas"},
    "clients": set(),
}
LONGEST_FILE = 320
LONGEST_TOPOLOGY = 70


def python_files(room: str) -> list[Path]:
    generated = ROOT / "schemas" / "pb"
    files = [path for path in sorted((ROOT / room).rglob("*.py")) if "__pycache__" not in path.parts and generated not in path.parents]
    assert files, f"room {room} holds no Python file"
    return files


def imported_modules(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module


@pytest.mark.parametrize("room", [room for room in ROOMS if room != "schemas"])
def test_a_room_imports_only_the_rooms_below_it(room: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in python_files(room)
        for module in imported_modules(path)
        if module.split(".")[0] in ROOMS and module.split(".")[0] not in MAY_IMPORT[room]
    ]
    assert not wrong


def test_the_domain_does_not_know_the_engine() -> None:
    wrong = [
        str(path)
        for path in python_files("sentinel")
        for module in imported_modules(path)
        if module.split(".")[0] in ("pyflink", "kafka", "confluent_kafka")
    ]
    assert not wrong


def test_topologies_hold_no_class_and_fit_one_screen() -> None:
    for path in python_files("jobs"):
        assert not [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)], path
    for path in (ROOT / "jobs").glob("*.py"):
        assert len(path.read_text().splitlines()) <= LONGEST_TOPOLOGY, path


def test_operators_hold_one_class_a_file() -> None:
    for path in python_files("operators"):
        classes = [node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)]
        assert len(classes) <= 1, (path, classes)


def test_files_hold_one_idea() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for room in ROOMS
        for path in python_files(room)
        if (lines := len(path.read_text().splitlines())) > LONGEST_FILE
    }
    assert not long
