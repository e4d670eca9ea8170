"""The snippets of docs/ingestion.md, run as they stand but for the ports."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sentinel.config.load import parse_config
from tests.support.doors import Doors

DOCUMENT = (Path(__file__).parents[2] / "docs" / "ingestion.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("number", range(len(blocks("bash")) + len(blocks("python"))))
def test_a_snippet_brings_its_event_in(doors: Doors, number: int) -> None:
    snippet = [*blocks("bash"), *blocks("python")][number]
    ports = {"8080": doors.running.ports["http"], "4318": doors.running.ports["otlp-http"], "9092": doors.bootstrap.rpartition(":")[2]}
    for documented, used in ports.items():
        snippet = snippet.replace(f"127.0.0.1:{documented}", f"127.0.0.1:{used}")
    snippet = snippet.replace('"llm-telemetry"', f'"{doors.topic}"')
    command = ["bash", "-c", snippet] if snippet.startswith("curl") else [sys.executable, "-c", snippet]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    name = re.search(r"(curl|otel|kafka)-shop", snippet)
    assert name and [one["application_id"] for one in doors.events()] == [name[0]]


@pytest.mark.parametrize("block", blocks("yaml"))
def test_the_configuration_is_valid(block: str) -> None:
    loaded = parse_config(yaml.safe_dump(yaml.safe_load(block)), "docs/ingestion.md")
    assert loaded.warnings == [] and len(loaded.config.ingestion.authentication.tokens) == 2
