"""Advisory file locks between the processes of one home; the kernel drops them when their holder dies."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.stack.errors import StackError


@contextmanager
def file_lock(path: Path, what: str, timeout_s: float) -> Iterator[None]:
    """Holds an exclusive lock on `path`; raises StackError naming `what` when another process keeps it for `timeout_s`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + timeout_s
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise StackError(f"Another process is busy with {what} ({path} is locked); try again when it has ended.") from None
                time.sleep(0.1)
        yield
