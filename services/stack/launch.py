"""Brings the stack up, joins a running one, and takes it down; the command line's half of the supervisor."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable

from services.stack.errors import StackError
from services.stack.flink_jars import link_lib
from services.stack.jars import Progress, cache_dir, fetch_all, link_class_path, read_lock
from services.stack.java import java_home
from services.stack.locks import file_lock
from services.stack.paths import Layout, project_root
from services.stack.ports import HOST
from services.stack.processes import TAG, end_all, signal_group, tagged, wait_gone
from services.stack.reservations import reserve
from services.stack.service import Context
from services.stack.state import State, read_state, running_state

Say = Callable[[str], None]

STOP_TIME_LIMIT_S = 60.0


def bring_up(layout: Layout, say: Say, jar_progress: Progress | None = None) -> State:
    """Starts the stack, or joins the one that runs; returns its state once every service is healthy.

    Idempotent. Raises StackError in one sentence when a part cannot be prepared or does not become healthy; then nothing stays behind.
    """
    layout.create()
    with file_lock(layout.run / "up.lock", "starting or stopping this stack", 180):
        state = running_state(layout)
        if state is not None and state.phase == "failed":
            say("the running stack had failed: stopping it first")
            take_down(layout, say, locked=True)
            state = None
        if state is None:
            _sweep(layout, say)
            layout.create()
            home = java_home()
            jars = read_lock()
            fetch_all([jar for names in jars.values() for jar in names], cache_dir(), jar_progress)
            for name, names in jars.items():
                link_class_path(names, cache_dir(), layout.cache / name)
            ports = reserve()
            link_lib(Context(layout, ports, home))
            _spawn_supervisor(layout, ports)
        else:
            say(f"joining the stack that runs since {time.strftime('%H:%M:%S', time.localtime(state.started))}")
        try:
            return _wait_ready(layout, say)
        except StackError:
            take_down(layout, lambda _: None, locked=True)
            raise


def _spawn_supervisor(layout: Layout, ports: dict[str, int]) -> None:
    with (layout.logs / "supervisor.out").open("ab") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "services.stack.supervisor", str(layout.home), json.dumps(ports)],
            env=os.environ | {TAG: str(layout.home), "SENTINEL_HOME": str(layout.home), "PYTHONPATH": _python_path()},
            cwd=layout.home,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + 30
    while running_state(layout) is None:
        if child.poll() is not None or time.monotonic() > deadline:
            raise StackError(f"The supervisor did not start (exit code {child.poll()}); see {layout.logs / 'supervisor.out'}.")
        time.sleep(0.05)


def _python_path() -> str:
    return os.pathsep.join([str(project_root()), *filter(None, [os.environ.get("PYTHONPATH")])])


def _wait_ready(layout: Layout, say: Say) -> State:
    """Tells each service's change once; the time limits are the supervisor's."""
    told: dict[str, str] = {}
    while True:
        state = running_state(layout)
        if state is None:
            raise StackError(f"The supervisor died while the stack was starting; see {layout.logs / 'supervisor.log'}.")
        for name, service in state.services.items():
            if service.status != told.get(name) and service.status in ("healthy", "restarting", "unhealthy"):
                where = f" on {HOST}:{service.port}" if service.port else ""
                moved = _moved(state, service.port)
                say(f"{name} {service.status}{where}{moved}{f': {service.detail}' if service.detail else ''}")
                told[name] = service.status
        if state.phase == "ready":
            return state
        if state.phase == "failed":
            raise StackError(state.message)
        if state.phase == "stopping":
            raise StackError("The stack is being stopped by another process; run 'sentinel up' again when it has ended.")
        time.sleep(0.1)


def _moved(state: State, port: int | None) -> str:
    documented = [state.moved[name] for name, used in state.ports.items() if used == port and name in state.moved]
    return f" (documented port {documented[0]} is taken)" if documented else ""


def take_down(layout: Layout, say: Say, *, locked: bool = False) -> bool:
    """Stops everything; data stay. Returns False when nothing was running. No process and no temporary file is left."""
    if not locked:
        with file_lock(layout.run / "up.lock", "starting or stopping this stack", 180):
            return take_down(layout, say, locked=True)
    state = running_state(layout)
    if state is not None:
        say("stopping")
        process = state.supervisor.process()
        if process is not None:
            process.send_signal(signal.SIGTERM)
        if not wait_gone(state.supervisor, STOP_TIME_LIMIT_S):
            say(f"the supervisor did not end within {STOP_TIME_LIMIT_S:.0f} s: killing it")
            signal_group(state.supervisor, signal.SIGKILL)
    swept = _sweep(layout, say if state is None else lambda _: None)
    return state is not None or swept


def await_service(layout: Layout, name: str, limit_s: float = 60.0) -> None:
    """Until a supervised service is healthy. Raises StackError at the limit, with its log."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        state = running_state(layout)
        service = state.services.get(name) if state is not None else None
        if service is not None and service.status == "healthy":
            return
        time.sleep(0.2)
    raise StackError(f"The service {name} is not healthy after {limit_s:.0f} s (log: {layout.logs / f'{name}.log'}).")


def _sweep(layout: Layout, say: Say) -> bool:
    """Ends processes that a killed supervisor left behind, and removes run-time files. Returns whether there were any processes."""
    state = read_state(layout)
    recorded = [service.process for service in state.services.values() if service.process] if state is not None else []
    left = [process for ref in recorded if (process := ref.process()) is not None]
    left += [process for process in tagged(layout.home) if process not in left]
    if left:
        say(f"the supervisor of an earlier run had died: ending {len(left)} processes that it left behind")
        end_all(left)
        for ref in recorded:
            signal_group(ref, signal.SIGKILL)
    for folder in (layout.tmp, layout.flink_conf, layout.run / "client"):
        shutil.rmtree(folder, ignore_errors=True)
    for file in (layout.state_file, layout.run / "kafka.properties"):
        file.unlink(missing_ok=True)
    return bool(left)


def reset(layout: Layout, say: Say) -> None:
    """Takes the stack down and deletes its data, logs and run-time files; the jar cache stays."""
    take_down(layout, say)
    for folder in (layout.data, layout.logs, layout.run):
        shutil.rmtree(folder, ignore_errors=True)
