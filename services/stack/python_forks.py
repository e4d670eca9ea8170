"""The fork server as a service, and the interpreter that goes by way of it."""

from __future__ import annotations

import shlex
import sys
import uuid
from pathlib import Path

from services.stack.paths import Layout
from services.stack.service import Service


def socket_of(layout: Layout) -> Path:
    """Where the fork server of a stack listens."""
    return layout.run / "forkserver.socket"


def python_of(layout: Layout) -> str:
    """An executable that takes an interpreter's arguments and has the fork server run them, or runs them itself when no server answers."""
    path = layout.run / "python"
    if any(character.isspace() for character in str(path)):
        # Flink's script for workers does not quote it.
        return sys.executable
    launcher = Path(__file__).parent / "forkserver" / "launcher.py"
    words = [sys.executable, "-I", "-S", str(launcher), str(socket_of(layout)), sys.executable]
    text = f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n'
    if not path.exists() or path.read_text() != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        # JobManager and TaskManager are prepared at the same time.
        scratch = path.with_name(f"python.{uuid.uuid4().hex}")
        scratch.write_text(text)
        scratch.chmod(0o700)
        scratch.replace(path)
    return str(path)


KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(32 * 2**20), "MALLOC_TRIM_THRESHOLD_": str(64 * 2**20)}
"""For the C library: a worker that takes batches of megabytes keeps up to 64 MiB of what it frees. Otherwise the kernel takes back the memory of each
batch and clears it again for the next: 33,000 page faults a second in one worker of a backlog, a tenth of its time."""


class ForkServer(Service):
    """Has imported what the jobs' Python processes need, and forks them; its children are the Python workers of the TaskManager."""

    name = "forkserver"
    title = "Python fork server"
    needed = False

    def prepare(self) -> None:
        """The socket of an earlier life would look like this one's."""
        socket_of(self.context.layout).unlink(missing_ok=True)

    def command(self) -> list[str]:
        return [sys.executable, "-m", "services.stack.forkserver.server", str(socket_of(self.context.layout))]

    def environment(self) -> dict[str, str]:
        """Numeric libraries would start threads when they are imported, which a fork does not copy."""
        threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "GRPC_ENABLE_FORK_SUPPORT": "0"}
        return super().environment() | threads | KEEP_MEMORY

    def healthy(self) -> bool:
        return socket_of(self.context.layout).exists()
