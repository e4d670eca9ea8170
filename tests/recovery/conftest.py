"""A stack of its own for the tests that kill processes; one for all of them, since each brings back what it killed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from services.stack.state import require_state
from services.stack.wanted import want_service
from tests.support.configuration import configuration
from tests.support.receivers import Receivers, running_receivers
from tests.support.shield_orders import enforcing_detectors
from tests.support.stack import Stack, running_stack
from tests.support.waiting import wait_for


@pytest.fixture(scope="session")
def recovery_receivers() -> Iterator[Receivers]:
    with running_receivers() as servers:
        yield servers


@pytest.fixture(scope="session")
def recovery_stack(recovery_receivers: Receivers) -> Iterator[Stack]:
    # The built-in detectors: what learns over minutes has the most to lose.
    config = configuration(recovery_receivers)
    config["detection"]["detectors"]["items"] = enforcing_detectors()
    # The rhythm of repeated messages follows the clock; only what the data says is compared.
    config["alerting"]["grouping"]["groupInterval"] = "1h"
    with running_stack(config, jobs="standalone", dispatcher=False) as running:
        # Event time must move by the events of a run alone: with pulses the silence behind a run would grow while it is compared.
        want_service(running.layout, "pulse", False)
        wait_for(lambda: "pulse" not in require_state(running.layout).services, 60, "the pulse to end")
        yield running
