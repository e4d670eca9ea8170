"""Processes that are forked instead of started: they behave as if an interpreter had started them, and end with whoever asked for them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from services.stack.java import java_home
from services.stack.paths import Layout, project_root
from services.stack.ports import WISHES
from services.stack.python_forks import ForkServer, python_of
from services.stack.service import Context

SHOW = "import os, sys; print(sys.argv[1:], os.getcwd(), os.environ.get('MARK'), os.getppid(), 'apache_beam' in sys.modules, flush=True)\n"
SLEEP = "import os, time\nprint(os.getpid(), flush=True)\nwhile True: pass\n"


BATCHES = """
import resource, threading

def batches():
    for _ in range(5):
        kept = [b"x" * (9 << 20) for _ in range(3)]

def count():
    batches()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    batches()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, flush=True)

worker = threading.Thread(target=count)
worker.start()
worker.join()
"""


@dataclass
class Forks:
    """A running fork server and its interpreter."""

    layout: Layout
    server: subprocess.Popen[bytes]
    edited: Path

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """The interpreter of the stack with these arguments."""
        environment = os.environ | {"PYTHONPATH": str(self.edited.parent), "MARK": "own"}
        return subprocess.Popen(
            [python_of(self.layout), *arguments], stdout=subprocess.PIPE, text=True, env=environment, cwd=self.layout.home
        )

    def forked_by(self, parent: str) -> bool:
        """Whether the server is this parent."""
        return int(parent) == self.server.pid


def until(done: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 60
    while not done():
        assert time.monotonic() < end, f"not within a minute: {what}"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    # Longer than the path of a socket may be.
    layout = Layout(tmp_path_factory.mktemp("f" * 60) / ("home" * 15))
    layout.create()
    service = ForkServer(Context(layout, {wish.service: wish.default for wish in WISHES}, java_home()))
    edited = layout.home / "sources" / "sitecustomize.py"
    edited.parent.mkdir()
    edited.write_text("")
    environment = service.environment() | {"PYTHONPATH": os.pathsep.join([str(edited.parent), str(project_root())])}
    service.prepare()
    server = subprocess.Popen(service.command(), env=environment, start_new_session=True, stderr=subprocess.DEVNULL)
    try:
        until(service.healthy, "the fork server listens")
        yield Forks(layout, server, edited)
    finally:
        # With what it has forked, should a test have left something.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def show(forks: Forks, *arguments: str) -> list[str]:
    output, _ = forks.start(*arguments).communicate(timeout=60)
    return output.replace("[", "").replace("]", "").replace(",", "").split()


@pytest.mark.parametrize("kind", ["script", "module", "code"])
def test_a_fork_is_what_an_interpreter_would_have_been(forks: Forks, tmp_path: Path, kind: str) -> None:
    (tmp_path / "shown.py").write_text(SHOW)
    (forks.edited.parent / "shown_module.py").write_text(SHOW)
    arguments = {"script": [str(tmp_path / "shown.py")], "module": ["-m", "shown_module"], "code": ["-c", SHOW]}[kind]
    first, second, folder, mark, parent, imported = show(forks, *arguments, "x", "y")
    assert (first, second, folder, mark) == ("'x'", "'y'", str(forks.layout.home), "own")
    assert forks.forked_by(parent) and imported == "True"


@pytest.mark.parametrize(("code", "status"), [("import sys; sys.exit(7)", 7), ("raise SystemExit('no')", 1), ("1 / 0", 1), ("pass", 0)])
def test_the_exit_code_is_passed_on(forks: Forks, code: str, status: int) -> None:
    process = forks.start("-c", code)
    process.communicate(timeout=60)
    assert process.returncode == status


def test_a_fork_ends_with_its_launcher_however_busy_it_is(forks: Forks) -> None:
    launcher = forks.start("-c", SLEEP)
    assert launcher.stdout is not None
    fork = psutil.Process(int(launcher.stdout.readline()))
    assert forks.forked_by(str(fork.ppid()))
    launcher.kill()
    launcher.wait(60)
    until(lambda: not fork.is_running(), "the fork ends")


def test_a_fork_that_is_killed_ends_its_launcher(forks: Forks) -> None:
    launcher = forks.start("-c", SLEEP)
    assert launcher.stdout is not None
    psutil.Process(int(launcher.stdout.readline())).kill()
    launcher.communicate(timeout=60)
    assert launcher.returncode != 0


def test_a_fork_keeps_the_memory_of_a_batch_for_the_next(forks: Forks, tmp_path: Path) -> None:
    """An interpreter that is just started gets it back from the kernel, page by page: 18,000 faults here."""
    script = tmp_path / "batches.py"
    script.write_text(BATCHES)
    faults, _ = forks.start(str(script)).communicate(timeout=60)
    assert int(faults) < 2_000


def test_edited_sources_are_not_run_from_memory(forks: Forks) -> None:
    old = forks.start("-c", SLEEP)
    assert old.stdout is not None and old.stdout.readline()
    os.utime(forks.edited, ns=(1, 1))
    assert show(forks, "-c", SHOW)[-1] == "False", "an interpreter of its own"
    assert old.poll() is None, "what runs goes on"
    old.kill()
    until(lambda: show(forks, "-c", SHOW)[-1] == "True", "the server imports anew")


def test_without_a_server_it_is_an_interpreter(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.create()
    done = subprocess.run(
        [python_of(layout), "-c", "import sys; print(sys.executable)"], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == sys.executable
    with_space = Layout(tmp_path / "a b")
    assert python_of(with_space) == sys.executable, "Flink's script does not quote the interpreter"


def test_services_that_are_prepared_at_once_share_the_interpreter(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        for number in range(25):
            layout = Layout(tmp_path / str(number))
            assert set(pool.map(python_of, [layout] * 8)) == {str(layout.run / "python")}
            assert [path.name for path in layout.run.iterdir()] == ["python"]


def test_a_killed_server_takes_its_launchers_along(forks: Forks) -> None:
    launcher = forks.start("-c", SLEEP)
    assert launcher.stdout is not None
    fork = psutil.Process(int(launcher.stdout.readline()))
    os.killpg(forks.server.pid, signal.SIGKILL)
    launcher.communicate(timeout=60)
    assert launcher.returncode == 1
    until(lambda: not fork.is_running() or fork.status() == psutil.STATUS_ZOMBIE, "the fork ends with its server")
