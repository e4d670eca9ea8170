"""CPU seconds and memory of process trees, sampled while a row runs."""

from __future__ import annotations

import contextlib
import time

import psutil

from services.stack.paths import Layout
from services.stack.processes import tagged
from services.stack.state import running_state

ENGINE = ("taskmanager", "jobmanager")
WORKERS = "python-workers"
"""The TaskManager's children and the fork server that starts the workers, counted apart from the JVM."""
FORK_SERVER = "forkserver"
PSS_EVERY_S = 5.0


def service_roots(layout: Layout) -> dict[str, int]:
    """Process ids of the stack's services."""
    state = running_state(layout)
    return {name: service.process.pid for name, service in state.services.items() if service.process} if state else {}


def tree(pid: int) -> list[psutil.Process]:
    """A process and its descendants; empty when it ended."""
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    return []


def cpu_seconds(processes: list[psutil.Process]) -> float:
    """User and system time of live processes and of the children that they have buried."""
    total = 0.0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system + getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
    return total


def pss_bytes(processes: list[psutil.Process]) -> int:
    """Sum of proportional set sizes."""
    total = 0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            total += process.memory_full_info().pss
    return total


def stack_pss_bytes(layout: Layout) -> int:
    """Of everything that belongs to a stack, Python workers and supervisor included."""
    return pss_bytes(tagged(layout.home))


class Sampler:
    """Samples of named process trees: CPU at each call, memory every five seconds."""

    def __init__(self, roots: dict[str, int]) -> None:
        self._roots = roots
        names = [*(name for name in roots if name != FORK_SERVER), *([WORKERS] if "taskmanager" in roots else [])]
        self.cpu: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
        self.pss: dict[str, int] = dict.fromkeys(names, 0)
        """The highest seen, in bytes."""
        self._next_pss = 0.0

    def sample(self) -> None:
        """Take one sample now."""
        now = time.time()
        weigh = now >= self._next_pss
        if weigh:
            self._next_pss = now + PSS_EVERY_S
        trees = {name: tree(pid) for name, pid in self._roots.items()}
        forked = trees.pop(FORK_SERVER, [])
        if "taskmanager" in trees:
            trees["taskmanager"], trees[WORKERS] = trees["taskmanager"][:1], trees["taskmanager"][1:] + forked
        for name, processes in trees.items():
            self.cpu[name].append((now, cpu_seconds(processes)))
            if weigh:
                self.pss[name] = max(self.pss[name], pss_bytes(processes))
