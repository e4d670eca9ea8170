"""Processes by identity: a pid alone may belong to somebody else after a reboot, so the start time goes with it."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

import psutil
from pydantic import BaseModel

TAG = "SENTINEL_SUPERVISED"
"""Environment variable that every process of a stack inherits; its value is the stack's home folder."""


class ProcessRef(BaseModel):
    """A process that we started: pid and start time (seconds since the epoch, as the kernel tells it)."""

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int) -> ProcessRef:
        """Reference to a process that is running now; raises psutil.NoSuchProcess otherwise."""
        return cls(pid=pid, started=psutil.Process(pid).create_time())

    def process(self) -> psutil.Process | None:
        """The live process, or None when it ended or the pid is another process by now."""
        try:
            process = psutil.Process(self.pid)
            if abs(process.create_time() - self.started) < 0.05 and process.status() != psutil.STATUS_ZOMBIE:
                return process
        except psutil.NoSuchProcess:
            pass
        return None

    def alive(self) -> bool:
        """Whether this very process runs."""
        return self.process() is not None

    def listens_on(self, port: int) -> bool:
        """Whether the process itself has a listening TCP socket on `port`."""
        process = self.process()
        if process is None:
            return False
        return any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in process.net_connections("tcp"))

    def pss_bytes(self) -> int:
        """Proportional set size of the process and all its descendants; 0 when it ended."""
        process = self.process()
        if process is None:
            return 0
        total = 0
        for member in [process, *_children(process)]:
            with contextlib.suppress(psutil.Error):
                info = member.memory_full_info()
                total += getattr(info, "pss", 0) or info.rss
        return total


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def signal_group(ref: ProcessRef, number: int) -> None:
    """Sends a signal to the process group that `ref` leads (every child is started as a leader)."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(ref.pid, number)


def tagged(home: Path) -> list[psutil.Process]:
    """All live processes of the stack at `home`, known by the variable they inherited, except the caller."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(TAG) == str(home) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def end_all(processes: list[psutil.Process], grace_s: float = 5.0) -> None:
    """Asks processes to end and kills those that have not after `grace_s`."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.send_signal(signal.SIGTERM)
    _, alive = psutil.wait_procs(processes, timeout=grace_s)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=5)


def wait_gone(ref: ProcessRef, timeout_s: float) -> bool:
    """Waits until the process ended; False at the time limit."""
    deadline = time.monotonic() + timeout_s
    while ref.alive():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
