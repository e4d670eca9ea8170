"""The reference Shield, running."""

from collections.abc import Iterator

import pytest

from tests.support.shield import RunningShield, running_shield


@pytest.fixture
def shield() -> Iterator[RunningShield]:
    with running_shield() as running:
        yield running
