"""Progress lines of a comparison engine: one JSON object a line on stdout, read by bench.engine_row."""

from __future__ import annotations

import json
import os
import sys
import time


class Progress:
    """Counts the events of this process and says so every half second."""

    def __init__(self) -> None:
        self.count = 0
        self._next = 0.0
        self.say()

    def add(self, events: int) -> None:
        self.count += events
        if time.time() >= self._next:
            self.say()

    def say(self) -> None:
        """Write the line now."""
        self._next = time.time() + 0.5
        sys.stdout.write(json.dumps({"t": time.time(), "pid": os.getpid(), "events": self.count}) + "\n")
        sys.stdout.flush()


def write_found(event_ids: list[str]) -> None:
    """Outliers go the same way."""
    sys.stdout.write("".join(json.dumps({"found": event_id}) + "\n" for event_id in event_ids))
    sys.stdout.flush()
