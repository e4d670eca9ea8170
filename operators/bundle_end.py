"""What every bundle of a Python worker waits for at its end, or does there, though nothing needs it to. All that a bundle found leaves when it has ended.

**Beam's sampler.** Beam starts a thread a bundle that looks, 2 ms after its start and then after pauses that grow by a fifth each, which step the bundle
is in; a bundle ends when that thread has woken once more. So one of 10 ms waits for up to 4, one of 100 ms for up to 20. What the thread measures goes to
Beam's metrics, which Flink does not read.

**Keyed state.** PyFlink writes the state of one key after the other and waits for the JVM's answer each time: with 16 shards 16 waits, each for both
processes to get a core. Requests go through one stream and are answered in their order, so all can be sent before the first answer is waited for.

**Beam's metrics.** Beam describes a bundle in a dozen figures of its own (times and sizes by step), at a twentieth of what a small bundle costs. Flink
takes none of them but those that a function registers with PyFlink; ours register none.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from sentinel.once import once


@once
def end_bundles_at_once() -> None:
    """From the next bundle of this process on: no sampling, no description, and one wait for all writes of state."""
    # A worker has loaded these. The process that only describes a topology has not, and would spend a second on it.
    from apache_beam.runners.worker import bundle_processor, sdk_worker, statesampler
    from pyflink.fn_execution.state_impl import RemoteKeyedStateBackend

    _sample_nothing(statesampler.StateSampler)
    _describe_nothing(bundle_processor.BundleProcessor)
    _await_writes_together(RemoteKeyedStateBackend, sdk_worker.GrpcStateHandler)


def _sample_nothing(sampler: Any) -> None:
    from apache_beam.runners.worker import statesampler

    stop_and_wait = sampler.stop
    set_current_tracker: Any = statesampler.set_current_tracker

    def start(self: Any) -> None:
        self.tracked_thread = threading.current_thread()
        set_current_tracker(self)
        self.sampled = False
        self.started = True

    def stop(self: Any) -> None:
        # The bundle under way has its thread still, and must wait for it: a later bundle would bring it back to life.
        if getattr(self, "sampled", True):
            stop_and_wait(self)
            return
        set_current_tracker(None)
        self.finished = True

    sampler.start, sampler.stop = start, stop


def _describe_nothing(processor: Any) -> None:
    def monitoring_infos(self: Any) -> list[Any]:
        return []

    processor.monitoring_infos = monitoring_infos


def _await_writes_together(backend: Any, handler: Any) -> None:
    """Raises RuntimeError at the end of a bundle when the JVM refused a write."""
    from apache_beam.runners.worker import sdk_worker

    commit_one_by_one = backend.commit
    # Operators have a thread each, and may share a stream.
    here = threading.local()

    def collecting(send: Callable[..., Any]) -> Callable[..., Any]:
        def sent(self: Any, *arguments: Any) -> Any:
            answer = send(self, *arguments)
            waiting = getattr(here, "waiting", None)
            if waiting is None:
                return answer
            waiting.append(answer)
            return sdk_worker._Future.done()

        return sent

    def commit(self: Any) -> None:
        waiting: list[Any] = []
        here.waiting = waiting
        try:
            commit_one_by_one(self)
        finally:
            here.waiting = None
        refused = [answer.error for answer in (each.get() for each in waiting) if answer.error]
        if refused:
            raise RuntimeError("state was not written: " + "; ".join(refused))

    backend.commit = commit
    handler.append_raw, handler.clear = collecting(handler.append_raw), collecting(handler.clear)
