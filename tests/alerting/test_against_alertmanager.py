"""The core beside a real Alertmanager: the same timelines, every message at the same time with the same content.

`recorded_alertmanager.json` is what Alertmanager 0.34.0 sent (`record_alertmanager.py`); beside it the one on this machine, if any, lives through them now.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from alertmanager_twin import Twin, binary, version
from random_timelines import draw, routes_that_differ
from scenarios import SCENARIOS, Scenario

from sentinel.alerting.routing import build_tree
from sentinel.alerting.simulation import Simulation
from sentinel.alerting.timeline import read_timeline
from sentinel.alerting.trial import load_trial

PROGRAM = binary()
VERSION = version(PROGRAM) if PROGRAM else (0, 0)
COMPARED = [scenario for scenario in SCENARIOS if scenario.since <= VERSION]
SLACK_S = 0.9
RECORDED: dict[str, list[dict[str, Any]]] = json.loads(Path(__file__).with_name("recorded_alertmanager.json").read_text())
RANDOM: dict[str, list[dict[str, Any]]] = json.loads(Path(__file__).with_name("recorded_random.json").read_text())

TREE = """
route:
  receiver: root
  routes:
    - {receiver: a, matchers: ['team=ml'], continue: true}
    - receiver: b
      match_re: {team: 'ml|web'}
      routes:
        - {receiver: b1, matchers: ['severity=~"crit.*"', 'env!="dev"']}
        - {matchers: ['severity!~"info|debug"'], continue: true}
        - {receiver: b3, matchers: ['{severity="warning", env=dev}']}
    - {receiver: c, match: {team: ''}}
    - {receiver: d, matchers: ['x=~".+"']}
receivers: [{name: root}, {name: a}, {name: b}, {name: b1}, {name: b3}, {name: c}, {name: d}]
"""
LABEL_SETS = [
    {"team": "ml"},
    {"team": "ml", "severity": "critical"},
    {"team": "web", "severity": "critical", "env": "dev"},
    {"team": "web", "severity": "warning", "env": "dev"},
    {"team": "web", "severity": "info"},
    {"team": "webx"},
    {"severity": "critical"},
    {"team": "ops", "x": "1"},
    {"team": "ops", "x": ""},
]


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """What a real Alertmanager sent in each scenario; all of them are lived through at once."""
    if PROGRAM is None:
        pytest.skip("no Alertmanager on this machine (Debian's prometheus-alertmanager, or SENTINEL_ALERTMANAGER)")
    folder = tmp_path_factory.mktemp("alertmanagers")
    seen: dict[str, list[dict[str, Any]]] = {}
    threads = []
    for number, scenario in enumerate(COMPARED):

        def live(scenario: Scenario = scenario, number: int = number) -> None:
            timeline = read_timeline(json.dumps(scenario.timeline()), scenario.name)
            seen[scenario.name] = Twin(str(PROGRAM), scenario.config, timeline, folder / str(number)).run()

        threads.append(threading.Thread(target=live))
        threads[-1].start()
        time.sleep(0.1)
    for thread in threads:
        thread.join()
    return seen


def ours(scenario: Scenario, folder: Path, *, strict: bool = True) -> list[dict[str, Any]]:
    file = folder / "alertmanager.yml"
    file.write_text(scenario.config)
    timeline = read_timeline(json.dumps(scenario.timeline()), scenario.name)
    return Simulation(load_trial(file).config, timeline, strict=strict).run()


def content(line: dict[str, Any]) -> str:
    return json.dumps({key: line[key] for key in ("receiver", "status", "groupLabels", "alerts", "delivered")}, sort_keys=True)


def check_same(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    assert sorted(map(content, found)) == sorted(map(content, expected))
    for line in found:
        times = [other["at"] for other in expected if content(other) == content(line)]
        assert min(abs(line["at"] - at) for at in times) < SLACK_S, (line, times)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_same_messages_as_recorded(scenario: Scenario, tmp_path: Path) -> None:
    check_same(ours(scenario, tmp_path), RECORDED[scenario.name])


@pytest.mark.parametrize("scenario", COMPARED, ids=lambda scenario: scenario.name)
def test_the_same_messages_at_the_same_times(scenario: Scenario, lived: dict[str, list[dict[str, Any]]], tmp_path: Path) -> None:
    """What an older Alertmanager does otherwise than 0.34 is not asked of it: the recorded messages above stand for it."""
    check_same(ours(scenario, tmp_path), lived[scenario.name])


@pytest.mark.parametrize("labels", LABEL_SETS, ids=str)
def test_routes_as_amtool_finds_them(labels: dict[str, str], tmp_path: Path) -> None:
    amtool = shutil.which("amtool")
    if amtool is None:
        pytest.skip("no amtool on this machine (Debian's prometheus-alertmanager)")
    file = tmp_path / "alertmanager.yml"
    file.write_text(TREE)
    arguments = [f"{name}={value}" for name, value in labels.items()]
    done = subprocess.run([amtool, "config", "routes", "test", f"--config.file={file}", *arguments], capture_output=True, text=True)
    routes = build_tree(load_trial(file).config).resolve(labels)
    assert ",".join(name for route in routes for name in route.receivers) == done.stdout.strip()


@pytest.mark.parametrize("seed", list(RANDOM))
def test_random_timelines_as_recorded(seed: str, tmp_path: Path) -> None:
    check_same(ours(draw(int(seed)), tmp_path), RANDOM[seed])


@pytest.mark.parametrize("seed", range(3))
def test_random_routes_as_amtool_finds_them(seed: int, tmp_path: Path) -> None:
    amtool = shutil.which("amtool")
    if amtool is None:
        pytest.skip("no amtool on this machine (Debian's prometheus-alertmanager)")
    assert routes_that_differ(amtool, seed, 12, tmp_path) == []
