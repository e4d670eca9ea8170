"""One stack with the job `standalone` serves every test of the session; starting it costs minutes on a small machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.configuration import configuration
from tests.support.receivers import Receivers, running_receivers
from tests.support.shield import RunningShield, running_shield
from tests.support.stack import Stack, running_stack
from tests.support.telemetry import Segments
from tests.support.throwing import install

# Event time only moves forward. The first ones work in stretches of the past; the trace is moved to end now; the last ones send at present.
ORDER = (
    "test_job_graph",
    "test_job_status",
    "test_config_change",
    "test_end_to_end",
    "test_alert_controls",
    "test_escalation",
    "test_alert_definitions",
    "test_behaviour_in_the_job",
    "test_odd_data",
    "test_azure_replay",
    "test_bad_input",
    "test_ingestion",
    "test_planted_values",
    "test_split_topology",
    "test_secured_kafka",
    "test_idle_source",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    own = [item for item in items if item.path.parent == Path(__file__).parent]
    places = [place for place, item in enumerate(items) if item in own]
    own.sort(key=lambda item: ORDER.index(item.path.stem) if item.path.stem in ORDER else -1)
    for place, item in zip(places, own, strict=True):
        items[place] = item


@pytest.fixture(scope="session")
def receivers() -> Iterator[Receivers]:
    with running_receivers() as servers:
        yield servers


@pytest.fixture(scope="session")
def shield() -> Iterator[RunningShield]:
    with running_shield() as server:
        yield server


@pytest.fixture(scope="session")
def stack(receivers: Receivers, shield: RunningShield, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    packages = tmp_path_factory.mktemp("packages")
    install(packages)
    # Beside the product's own packages, as if it had been installed; without effect until a configuration names it.
    known = [str(packages), *filter(None, [os.environ.get("PYTHONPATH")])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(known))
        with running_stack(configuration(receivers, shield=shield.endpoint)) as running:
            yield running


@pytest.fixture(scope="session")
def segments() -> Segments:
    return Segments()
