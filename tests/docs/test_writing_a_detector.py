"""The tutorial on writing a detector, done as it says: the package is built and installed, found, configured, run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "writing-a-detector.md").read_text()

RUN = """
import json, sys
from sentinel.config.load import load_config
from sentinel.config.runtime import RuntimeConfig
from sentinel.detection.engine import ShardEngine
from sentinel.panes import Pane

config = RuntimeConfig.from_snapshot(4, load_config(sys.argv[1], use_environment=False).config.to_snapshot())
engine = ShardEngine.from_state(None, config)
found = []
for at_s, latency_ms in ((0, 9000), (10, 9000), (100, 9000), (101, 9000), (300, 100)):
    at_ms = 1_800_000_000_000 + at_s * 1000
    pane = Pane("acme", "chat-1", "m", at_ms, calls=1, events=1, latency_count=1, latency_sum_us=latency_ms * 1000, latency_max_event="slowest")
    found += engine.on_panes([pane], at_ms + 5000)
    engine = ShardEngine.from_state(engine.to_state(), config)
print(json.dumps([json.loads(anomaly.to_json()) for anomaly in found]))
"""


def block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which the package of the page was installed."""
    folder = tmp_path_factory.mktemp("cold-start")
    (folder / "cold_start.py").write_text(block("python"))
    (folder / "pyproject.toml").write_text(block("toml"))
    (folder / "sentinel-config.yaml").write_text(block("yaml"))
    target = folder / "site"
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-index",
        "--no-deps",
        "--no-compile",
        "--no-build-isolation",
        "--target",
        str(target),
        ".",
    ]
    subprocess.run(install, cwd=folder, check=True, capture_output=True, timeout=120)
    return target


def run(site: Path, *command: str, ok: bool = True) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": f"{site}{os.pathsep}{ROOT}", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-P", *command], cwd=site.parent, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode == 0) is ok, done.stdout + done.stderr
    return done


def test_the_doctest_runs(site: Path) -> None:
    assert "6 passed" in run(site, "-m", "doctest", "-v", "cold_start.py").stdout
    broken = site.parent / "broken.py"
    broken.write_text(block("python").replace("89 s", "88 s"))
    run(site, "-m", "doctest", "broken.py", ok=False)


def test_it_is_found_by_its_entry_point(site: Path) -> None:
    listed = json.loads(run(site, "-m", "services.cli.main", "detectors", "list", "-o", "json").stdout)
    own = [row for row in listed if row["detector"]]
    assert own == [
        {
            "strategy": "custom",
            "detector": "cold-start",
            "types": "",
            "from": "cold-start-detector 1.0",
            "what": "The first second with calls after at least `pause_s` without any, when its calls take `slow_ms` on average.",
        }
    ]
    assert {"zscore", "cep", "user_profile"} <= {row["strategy"] for row in listed}


def test_the_configuration_is_checked_with_it(site: Path) -> None:
    assert "is valid: 1 detectors" in run(site, "-m", "services.cli.main", "config", "validate", "sentinel-config.yaml").stdout
    for wrong, said in (
        ("pause_s: 60", "unknown: pauses; known are pause_s, slow_ms"),
        ("detector: cold-start", "did you mean cold-start?"),
    ):
        text = block("yaml").replace(wrong, wrong.replace("pause_s", "pauses").replace("cold-start", "cold-stat"))
        (site.parent / "wrong.yaml").write_text(text)
        assert said in run(site, "-m", "services.cli.main", "config", "validate", "wrong.yaml", ok=False).stderr


def test_it_runs_in_the_engine_and_keeps_its_state(site: Path) -> None:
    (anomaly,) = json.loads(run(site, "-c", RUN, "sentinel-config.yaml").stdout)
    assert anomaly["detector_id"] == "cold-start" and anomaly["severity"] == "info" and anomaly["config_version"] == 4
    assert anomaly["affected_entity"]["type"] == "model" and anomaly["context"]["sample_events"] == ["slowest"]
    assert anomaly["metrics"] == {"observed_value": 9000.0, "expected_high": 2000.0}
    assert anomaly["description"].startswith("The first calls after 89 s without any took 9,000 ms on average, the limit is 2,000 ms")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("self.last_ms = pane.end_ms", "raise RuntimeError('broken on purpose')"), "threw RuntimeError: broken on purpose"),
        (("return Finding(", "return dict("), "threw TypeError: judge returned dict, expected a Finding or None"),
        (("self.last_ms = pane.end_ms", "self.last_ms = pane.end_ms; self.lock = object()"), "its state cannot be kept"),
        (("self.last_ms = pane.end_ms", "self.last_ms = pane.end_ms; self.much = 'x' * 100_000"), "its state cannot be kept"),
    ],
)
def test_one_that_misbehaves_is_said(site: Path, change: tuple[str, str], why: str) -> None:
    good = block("python")
    assert change[0] in good
    try:
        (site / "cold_start.py").write_text(good.replace(*change))
        found = json.loads(run(site, "-c", RUN, "sentinel-config.yaml").stdout)
    finally:
        (site / "cold_start.py").write_text(good)
    failures = [anomaly for anomaly in found if anomaly["detector_id"] == "detector-failure"]
    assert failures and failures[0]["labels"]["failed_detector"] == "cold-start" and why in failures[0]["description"]


def test_failures_are_listed() -> None:
    import psycopg

    from services.storage.migrate import upgrade
    from tests.support.postgres import running_postgres

    row = """INSERT INTO sentinel.anomalies (anomaly_id, tenant_id, application_id, detector_id, description, count, last_seen, record)
             VALUES (%s, 'acme', 'chat', %s, 'Detector cold-start threw', %s, now(), '{"labels": {"failed_detector": "cold-start"}}')"""
    with running_postgres() as server:
        dsn = server.database("failures")
        upgrade(dsn)
        command = [sys.executable, "-m", "services.cli.main", "detectors", "failures", "-o", "json", "--dsn", dsn]
        assert json.loads(subprocess.run(command, capture_output=True, check=True, cwd=ROOT).stdout) == []
        with psycopg.connect(dsn) as connection:
            for number, (detector, count) in enumerate((("detector-failure", 3), ("detector-failure", 4), ("latency", 9))):
                connection.execute(row, (str(number), detector, count))
        (listed,) = json.loads(subprocess.run(command, capture_output=True, check=True, cwd=ROOT).stdout)
        assert (listed["detector"], listed["application_id"], listed["failures"]) == ("cold-start", "chat", 7)
