"""How the supervisor ends a service."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from services.stack.java import java_home
from services.stack.paths import Layout
from services.stack.runner import Runner
from services.stack.service import Context, Service

# As a broker does that hands its partitions over: it needs a moment.
POLITE = """import pathlib, signal, sys, time
def end(*_):
    time.sleep(0.7)
    pathlib.Path(sys.argv[1], "ended").touch()
    sys.exit()
signal.signal(signal.SIGTERM, end)
pathlib.Path(sys.argv[1], "ready").touch()
while True:
    time.sleep(0.05)
"""
DEAF = """import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(sys.argv[1], "ready").touch()
while True:
    time.sleep(0.05)
"""


class Script(Service):
    """A Python script that tells that it is ready by a file."""

    name = "script"
    title = "Script"
    stop_timeout_s = 5.0
    code = POLITE

    def command(self) -> list[str]:
        return [sys.executable, "-c", self.code, str(self.context.layout.home)]

    def healthy(self) -> bool:
        return (self.context.layout.home / "ready").exists()


class DeafScript(Script):
    """Does not hear that it shall end."""

    stop_timeout_s = 0.5
    code = DEAF


def stopped(service: Script) -> Runner:
    runner = Runner(service, lambda: None, lambda _: None, {})
    runner.start()
    end = time.monotonic() + 60
    while runner.state.status != "healthy":
        assert time.monotonic() < end, runner.state
        time.sleep(0.05)
    runner.stop()
    return runner


def context(home: Path) -> Context:
    layout = Layout(home)
    layout.create()
    return Context(layout, {}, java_home())


def test_a_service_has_its_time_to_end(tmp_path: Path) -> None:
    runner = stopped(Script(context(tmp_path)))
    assert (tmp_path / "ended").exists(), "it was killed while it was ending"
    assert runner.state.status == "stopped" and not runner.is_alive()


def test_a_deaf_service_is_killed(tmp_path: Path) -> None:
    runner = stopped(DeafScript(context(tmp_path)))
    assert runner.state.process is not None and not runner.state.process.alive()
    assert runner.state.status == "stopped"
