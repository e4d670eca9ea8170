"""For all tests: where nothing may be skipped, a skip fails the run."""

from __future__ import annotations

import os

import pytest

os.environ.setdefault("SENTINEL_IDLE_MS", "60000")
"""Tests that have no pulses wait for it."""


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """With SENTINEL_FAIL_ON_SKIP=1 (as in CI) a run with skipped tests ends with status 1."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = len(reporter.stats.get("skipped", [])) if reporter else 0
    if skipped and os.environ.get("SENTINEL_FAIL_ON_SKIP") == "1" and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
