"""Starts and stops the stack for the demonstration, by the same commands that people use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from services.stack.errors import StackError
from services.stack.paths import Layout, default_home
from services.stack.state import Endpoints, load_endpoints, running_state

JOBS = "standalone,indexing"


class DemoStack:
    """The stack of this checkout. `joined` = it was running before; then the demonstration leaves it running."""

    def __init__(self) -> None:
        self.layout = Layout(default_home())
        self.joined = running_state(self.layout) is not None

    def start(self) -> Endpoints:
        """Bring up stack, jobs and dispatcher, or join them. Raises StackError when a command fails (it has printed why)."""
        self._sentinel("up", "--jobs", JOBS, "--dispatcher")
        return load_endpoints()

    def apply(self, config: Path) -> None:
        """Put a configuration into force. Raises StackError."""
        self._sentinel("config", "apply", str(config))

    def stop(self) -> None:
        """Stop the stack."""
        self._sentinel("down")

    def _sentinel(self, *arguments: str) -> None:
        # stdout of the commands goes to stderr: the demonstration's own stdout holds nothing but its table.
        done = subprocess.run([sys.executable, "-m", "services.cli.main", *arguments], stdout=sys.stderr, check=False)
        if done.returncode != 0:
            raise StackError(f"`sentinel {' '.join(arguments)}` ended with status {done.returncode}; its message is above")
