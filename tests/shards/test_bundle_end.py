"""What a bundle waits for at its end, against Beam's own classes and a real gRPC stream."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest
from apache_beam.coders import BytesCoder
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc
from apache_beam.runners.worker.bundle_processor import BundleProcessor, SynchronousBagRuntimeState
from apache_beam.runners.worker.data_plane import InMemoryDataChannel
from apache_beam.runners.worker.sdk_worker import GlobalCachingStateHandler, GrpcStateHandler
from apache_beam.runners.worker.statecache import StateCache
from apache_beam.runners.worker.statesampler import StateSampler
from apache_beam.utils.counters import CounterFactory

from operators.bundle_end import _await_writes_together, _describe_nothing, _sample_nothing
from services.stack.paths import project_root

KEYS = 3


class States(beam_fn_api_pb2_grpc.BeamFnStateServicer):
    """Answers nothing before `KEYS` writes have come: who waits for the first answer before sending the next waits for ever."""

    def __init__(self, error: str) -> None:
        self.written: dict[bytes, bytes] = {}
        self._error = error

    def State(self, request_iterator: Iterator[Any], context: Any) -> Iterator[Any]:  # noqa: N802  as gRPC names it
        answers: queue.Queue[Any] = queue.Queue()

        def read() -> None:
            held = []
            for request in request_iterator:
                self.written[request.state_key.bag_user_state.key] = request.append.data
                held.append(beam_fn_api_pb2.StateResponse(id=request.id, error=self._error, append=beam_fn_api_pb2.StateAppendResponse()))
                if len(self.written) == KEYS:
                    while held:
                        answers.put(held.pop(0))

        threading.Thread(target=read, daemon=True).start()
        while context.is_active():
            try:
                yield answers.get(timeout=0.1)
            except queue.Empty:
                continue


class Backend:
    """The shape of PyFlink's: writes the state of one key after the other."""

    def __init__(self, states: list[SynchronousBagRuntimeState]) -> None:
        self.states = states

    def commit(self) -> None:
        for state in self.states:
            state.commit()


def commit_all(error: str, together: bool = True) -> dict[bytes, bytes]:
    """Write one value under each of `KEYS` keys in a bundle; what the server holds. Raises TimeoutError when the bundle does not end."""

    class Handler(GrpcStateHandler):  # type: ignore[misc]
        pass

    class OurBackend(Backend):
        pass

    if together:
        _await_writes_together(OurBackend, Handler)
    server, states = grpc.server(futures.ThreadPoolExecutor(2)), States(error)
    beam_fn_api_pb2_grpc.add_BeamFnStateServicer_to_server(states, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            handler = GlobalCachingStateHandler(StateCache(0), Handler(beam_fn_api_pb2_grpc.BeamFnStateStub(channel)))

            def key(number: int) -> Any:
                return beam_fn_api_pb2.StateKey(
                    bag_user_state=beam_fn_api_pb2.StateKey.BagUserState(user_state_id="s", key=bytes([number]))
                )

            bags = [SynchronousBagRuntimeState(handler, key(number), BytesCoder()) for number in range(KEYS)]
            outcome: list[BaseException | None] = []

            def bundle() -> None:
                try:
                    with handler.process_instruction_id("1", []):
                        for bag in bags:
                            bag.add(b"value")
                        OurBackend(bags).commit()
                    outcome.append(None)
                except BaseException as failure:
                    outcome.append(failure)

            thread = threading.Thread(target=bundle, daemon=True)
            thread.start()
            thread.join(5)
            handler.done()
            if not outcome:
                raise TimeoutError
            if outcome[0] is not None:
                raise outcome[0]
            return dict(states.written)
    finally:
        server.stop(None)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_all_keys_are_written_before_the_first_answer_is_waited_for() -> None:
    assert set(commit_all(error="")) == {bytes([number]) for number in range(KEYS)}
    with pytest.raises(TimeoutError):
        commit_all(error="", together=False)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_write_that_the_engine_refuses_fails_the_bundle() -> None:
    with pytest.raises(RuntimeError, match="state was not written: disk is full"):
        commit_all(error="disk is full")


def test_a_bundle_starts_no_thread_and_one_under_way_ends_its_own() -> None:
    class Sampler(StateSampler):  # type: ignore[misc]
        pass

    old = Sampler("old", CounterFactory())
    # Threads of other tests may end meanwhile.
    before = set(threading.enumerate())

    def started() -> int:
        return len(set(threading.enumerate()) - before)

    old.start()
    assert started() == 1
    _sample_nothing(Sampler)
    old.stop()
    assert started() == 0
    fresh = Sampler("fresh", CounterFactory())
    for sampler in (old, fresh, fresh):
        sampler.reset()
        sampler.start()
        assert started() == 0
        assert sampler.tracked_thread is threading.current_thread()
        sampler.stop_if_still_running()
        assert sampler.finished


def test_a_bundle_is_not_described() -> None:
    class Processor(BundleProcessor):  # type: ignore[misc]
        pass

    class Step:
        """Of a bundle, with figures of its own."""

        described = 0

        def pcollection_count_monitoring_infos(self, *_: object) -> dict[object, object]:
            return {}

        def monitoring_infos(self, *_: object) -> dict[object, object]:
            self.described += 1
            return {}

    step = Step()
    processor = Processor(set(), beam_fn_api_pb2.ProcessBundleDescriptor(id="one step"), None, InMemoryDataChannel())
    processor.ops["step"] = step
    assert list(processor.monitoring_infos()) == [] and step.described == 1
    _describe_nothing(Processor)
    assert list(processor.monitoring_infos()) == [] and step.described == 1


@pytest.mark.parametrize("room", ["operators", "udfs"])
def test_no_function_registers_figures_that_would_be_lost(room: str) -> None:
    sources = list((project_root() / room).glob("*.py"))
    assert sources
    assert not [source.name for source in sources if "get_metrics_group" in source.read_text() or "get_metric_group" in source.read_text()]


OPENED_TOGETHER = """
import threading, time
from operators import bundle_end

replaced = []

def replace(*parts):
    time.sleep(0.05)
    replaced.append(parts)

bundle_end._sample_nothing = bundle_end._describe_nothing = bundle_end._await_writes_together = replace
operators = [threading.Thread(target=bundle_end.end_bundles_at_once) for _ in range(3)]
for operator in operators:
    operator.start()
for operator in operators:
    operator.join()
print(len(replaced))
"""


def test_operators_that_open_together_replace_each_part_once() -> None:
    # Replaced twice, the writes of state are awaited twice: the second wait has nothing to wait for, and the first bundle that writes fails.
    done = subprocess.run(
        [sys.executable, "-c", OPENED_TOGETHER], cwd=project_root(), capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.split()[-1] == "3"
