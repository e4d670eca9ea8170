"""Waiting for something that another process will do: generous limits, and a failure that says what was seen last."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(probe: Callable[[], T], timeout_s: float, what: str, until: Callable[[T], object] = bool, pause_s: float = 0.5) -> T:
    """The first value of `probe` that satisfies `until` (default: is true). Raises AssertionError naming the last value at the limit."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = probe()
        if until(value):
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s:g} s for {what}; last seen: {str(value)[:2000]}")
        time.sleep(pause_s)
