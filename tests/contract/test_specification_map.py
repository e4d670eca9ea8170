"""docs/specification-map.md says what becomes of each shape of the specification: each row is tried, and no example is missing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sentinel.config.errors import ConfigError
from sentinel.config.load import parse_config

EXAMPLES = Path(__file__).parent / "examples"
TABLE = Path(__file__).parents[2] / "docs" / "specification-map.md"


def _rows() -> list[tuple[str, str, str, str]]:
    rows = []
    for line in TABLE.read_text("utf-8").splitlines():
        if line.startswith("| ") and not line.startswith("| Shape"):
            shape, example, status, text = (cell.strip() for cell in line.strip("|").split("|"))
            rows.append((shape, example, status, text))
    return rows


@pytest.mark.parametrize(("shape", "example", "status", "text"), _rows(), ids=[row[0] for row in _rows()])
def test_shape(shape: str, example: str, status: str, text: str) -> None:
    inline = example.startswith("`")
    content = example.strip("`") if inline else (EXAMPLES / example).read_text("utf-8")
    quoted = re.findall("“(.*?)”", text)
    if status == "refused":
        with pytest.raises(ConfigError) as refused:
            parse_config(content, shape)
        assert quoted and all(part in str(refused.value) for part in quoted), str(refused.value)
        return
    loaded = parse_config(content, shape)
    if status == "warning":
        assert quoted and all(any(part in warning for warning in loaded.warnings) for part in quoted), loaded.warnings
    else:
        assert status in ("canonical", "alias")
        assert loaded.warnings == []


def test_every_example_has_a_row() -> None:
    assert {path.name for path in EXAMPLES.glob("config-*")} == {row[1] for row in _rows() if not row[1].startswith("`")}
