"""Progress on stderr: plain lines with the seconds since the start, so that logs of a pipeline read well too."""

from __future__ import annotations

import sys
import time


class Progress:
    """Prints `[ 12.3 s] message`; on a terminal `update` rewrites one line in place."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._open_line = False
        self._next_plain = 0.0

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began

    def say(self, message: str) -> None:
        """One finished line."""
        self._clear()
        print(f"[{self.elapsed_s:5.1f} s] {message}", file=sys.stderr, flush=True)

    def update(self, message: str) -> None:
        """A line that the next one replaces; without a terminal at most one every 5 s."""
        if sys.stderr.isatty():
            print(f"\r\x1b[K[{self.elapsed_s:5.1f} s] {message}", end="", file=sys.stderr, flush=True)
            self._open_line = True
        elif time.monotonic() >= self._next_plain:
            self._next_plain = time.monotonic() + 5
            self.say(message)

    def jars(self, done: int, total: int, fetched_bytes: int) -> None:
        """Progress of the jar download."""
        width = 24
        filled = width * done // total
        message = f"fetching jars [{'#' * filled}{'.' * (width - filled)}] {done}/{total}, {fetched_bytes / 1e6:.1f} MB"
        if done == total:
            self.say(message)
        else:
            self.update(message)

    def _clear(self) -> None:
        if self._open_line:
            print("\r\x1b[K", end="", file=sys.stderr)
            self._open_line = False
