"""What the documents say can be run: commands exist with their options, SQL runs, links lead somewhere."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sentinel.config.load import parse_config
from services.cli.sql_cmd import run_query
from services.storage.migrate import upgrade
from tests.support.postgres import running_postgres

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

SECTIONS = ("alerting", "detection", "detectors", "ingestion", "integrations", "retry")
"""A YAML block that begins with one of these is a part of a configuration."""


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    lines = (line.split("  #")[0].strip() for path in DOCUMENTS for block in blocks(path, "bash") for line in block.splitlines())
    return sorted({line.removeprefix(".venv/bin/") for line in lines if line.removeprefix(".venv/bin/").startswith("sentinel ")})


def test_the_documents_name_commands() -> None:
    assert len(commands()) > 15


@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_documents_exists_with_its_options(command: str) -> None:
    words = shlex.split(command.split(">")[0])
    path = [word for word in words[1:3] if re.fullmatch(r"[a-z][a-z-]*", word)]
    options = [word.split("=")[0] for word in words if re.fullmatch(r"--?[a-z-]+.*", word)]
    # The second word may be an argument; then the help of the first one is meant.
    for depth in range(len(path), 0, -1):
        done = subprocess.run(
            [sys.executable, "-m", "services.cli.main", *path[:depth], "--help"], capture_output=True, text=True, timeout=60
        )
        if done.returncode == 0:
            break
    assert done.returncode == 0, done.stderr
    missing = [option for option in options if not re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", done.stdout)]
    assert not missing, f"{command}: no such option {missing}"


@pytest.fixture(scope="module")
def dsn() -> Iterator[str]:
    with running_postgres() as server:
        database = server.database("documents")
        upgrade(database)
        yield database


@pytest.mark.parametrize("query", [query for path in DOCUMENTS for query in blocks(path, "sql")])
def test_a_query_of_the_documents_runs(dsn: str, query: str) -> None:
    columns, _, _ = run_query(dsn, query)
    assert columns


# That of the tutorial needs the package of the tutorial: `test_writing_a_detector` installs it.
@pytest.mark.parametrize(
    "snippet",
    [
        snippet
        for path in DOCUMENTS
        if path.name != "writing-a-detector.md"
        for snippet in blocks(path, "yaml")
        if snippet.split(":")[0] in SECTIONS
    ],
)
def test_a_configuration_of_the_documents_is_valid(snippet: str) -> None:
    assert parse_config(snippet, "snippet").config


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    targets = re.findall(r"\]\((?!https?://|#|mailto:)([^)#]+)", path.read_text())
    missing = [target for target in targets if not (path.parent / target).exists()]
    assert not missing


def test_the_lengths_of_the_topologies_are_those_of_their_files() -> None:
    said = dict(re.findall(r"^\| `(jobs/\w+\.py)` \| (\d+) \|$", (ROOT / "docs" / "topologies.md").read_text(), re.MULTILINE))
    files = [path for path in sorted((ROOT / "jobs").glob("*.py")) if path.name != "__init__.py"]
    assert said == {f"jobs/{path.name}": str(len(path.read_text().splitlines())) for path in files}
