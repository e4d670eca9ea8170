"""What a process does once: operators that open at the same moment do not do it twice, and none goes on before it is done."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from sentinel.once import once

THREADS = 8


def test_threads_that_ask_together_do_it_once_and_wait_for_it() -> None:
    together, begun, ended = threading.Barrier(THREADS), [], []

    @once
    def prepare() -> None:
        begun.append(1)
        time.sleep(0.05)
        ended.append(1)

    def ask() -> int:
        together.wait()
        prepare()
        return len(ended)

    with ThreadPoolExecutor(THREADS) as pool:
        seen = [future.result() for future in [pool.submit(ask) for _ in range(THREADS)]]
    assert len(begun) == 1 and seen == [1] * THREADS


def test_what_failed_is_tried_again() -> None:
    attempts = []

    @once
    def prepare() -> None:
        attempts.append(1)
        if len(attempts) == 1:
            raise OSError("not yet")

    with pytest.raises(OSError, match="not yet"):
        prepare()
    prepare()
    prepare()
    assert len(attempts) == 2
