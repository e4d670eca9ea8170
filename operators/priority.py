"""Which Python process goes first when the cores are taken."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from sentinel.once import once

NICENESS = 10
"""A ninth of what the hop's process gets of a contended core. Anyone may raise this number, nobody needs a privilege for it."""


@once
def stand_behind_single_events() -> None:
    """This process gives way to the hop's, once: the panes of a whole second come at the same time, and single events would wait for them.

    Linux keeps the number by thread, and a new thread takes that of its parent, so all that run are set.
    """
    tasks = Path("/proc/self/task")
    with contextlib.suppress(OSError):
        for thread in [int(entry.name) for entry in tasks.iterdir()] if tasks.is_dir() else [0]:
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + NICENESS)
