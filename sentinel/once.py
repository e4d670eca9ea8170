"""What a process does once, however many of its threads ask.

`functools.cache` does not wait: threads that ask at the same time would all do it, as the operators of a worker do that open together.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps


def once(function: Callable[[], None]) -> Callable[[], None]:
    """The function's first call does it; others return when it is done. After an error the next call tries again."""
    lock, done = threading.Lock(), False

    @wraps(function)
    def call() -> None:
        nonlocal done
        with lock:
            if not done:
                function()
                done = True

    return call
