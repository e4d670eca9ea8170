"""The commands of docs/models.md, run in their order."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sentinel.config.load import parse_config
from services.cli.models_cmd import app

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "models.md").read_text()


def test_every_command_runs(dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENTINEL_POSTGRES_DSN", dsn)
    monkeypatch.setenv("SENTINEL_HOME", str(tmp_path))
    lines = [line for block in re.findall(r"^```bash\n(.*?)^```", DOCUMENT, re.M | re.S) for line in block.splitlines()]
    assert len(lines) >= 12
    for line in lines:
        sentinel, models, *arguments = shlex.split(line)
        assert (sentinel, models) == ("sentinel", "models")
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, f"{line}: {result.output}{result.stderr}"


def test_the_configuration_is_valid() -> None:
    (text,) = re.findall(r"^```yaml\n(.*?)^```", DOCUMENT, re.M | re.S)
    loaded = parse_config(text, "models.md")
    assert [item.strategy for item in loaded.config.detection.detectors.items] == ["dbscan"]
    assert not loaded.warnings
