"""Runs of traffic into Kafka: files replayed at a speed, generated streams, bulk load; each ends with a summary."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from services.traffic.injection import Injector
from services.traffic.plan import InjectionPlan
from services.traffic.rebase import MAX_SPEED, TimeRange, clamp_ms, now_ms, paced, rebased, shift_to_now, time_range
from services.traffic.sources import Reader, read_jsonl
from services.traffic.timed import TimedStream, format_ms
from services.traffic.trace_azure import read_azure
from services.traffic.truth import Truth

FORMATS: dict[str, Reader] = {"telemetry-jsonl": read_jsonl, "azure-llm-2023": read_azure}
Rebase = Literal["now", "none"]


class Sender(Protocol):
    """What a run needs of its target."""

    sent: int
    failed: int
    first_failure: str | None

    @property
    def acked(self) -> int: ...

    def send(self, ts_ms: int, key: bytes | None, value: bytes) -> None: ...

    def wait(self, seconds: float) -> None: ...

    def finish(self, timeout_s: float | None = None) -> None: ...


@dataclass(frozen=True)
class Summary:
    """Result of a run. `seconds` until the last acknowledgement; event times are RFC 3339, None when nothing was sent."""

    sent: int
    acked: int
    failed: int
    seconds: float
    rate: float
    first_event: str | None
    last_event: str | None
    first_failure: str | None

    @staticmethod
    def of(
        sent: int, acked: int, failed: int, seconds: float, first_ms: int | None, last_ms: int | None, first_failure: str | None
    ) -> Summary:
        """The summary of a run of `seconds`; event times in epoch ms."""
        stamps = [None if ms is None else format_ms(ms) for ms in (first_ms, last_ms)]
        return Summary(sent, acked, failed, round(seconds, 3), round(acked / max(seconds, 1e-9), 1), stamps[0], stamps[1], first_failure)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Replay:
    """One file ready to be sent: its event times after rebasing and the stream itself (to be consumed once)."""

    times: TimeRange
    first_ms: int
    stream: TimedStream
    truth: Callable[[], list[Truth]]


def prepare_replay(
    path: Path, format_name: str, *, speed: float, rebase: Rebase, plan: InjectionPlan | None, limit: int | None, seed: int
) -> Replay:
    """Read the file once for its times and open it again for sending. Raises SourceError or OSError with file and line."""
    reader = FORMATS[format_name]

    def opened() -> TimedStream:
        return itertools.islice(reader(path, seed), limit)

    times = time_range(opened())
    shift = shift_to_now(times, speed, now_ms()) if rebase == "now" else 0
    stream = rebased(opened(), times, shift)
    if plan is None:
        return Replay(times, times.first_ms + shift, stream, list)
    injector = Injector(plan, times.first_ms + shift)
    return Replay(times, times.first_ms + shift, injector.apply(stream), lambda: injector.truth)


def run_stream(stream: TimedStream, sender: Sender, *, first_ms: int, speed: float, stop: Callable[[], bool] = lambda: False) -> Summary:
    """Send a stream at `speed` times real time (MAX_SPEED: as fast as Kafka takes it) until it ends or `stop` says so."""
    records = ((timed.ts_ms, timed.key(), timed.value()) for timed in paced(stream, first_ms, speed, sleep=sender.wait))
    return _run(records, sender, stop)


def run_bulk(records: Iterable[tuple[int, bytes, bytes]], sender: Sender, *, paced_by_time: bool) -> Summary:
    """Send bulk records; with `paced_by_time` none leaves before the wall clock has reached its event time."""
    return _run(_held_back(records, sender) if paced_by_time else records, sender, lambda: False)


def _held_back(records: Iterable[tuple[int, bytes, bytes]], sender: Sender) -> Iterator[tuple[int, bytes, bytes]]:
    reached = 0
    for record in records:
        if record[0] > reached:
            reached = now_ms()
            if record[0] > reached:
                sender.wait((record[0] - reached) / 1000.0)
        yield record


def _run(records: Iterable[tuple[int, bytes | None, bytes]], sender: Sender, stop: Callable[[], bool]) -> Summary:
    begin = time.monotonic()
    first = last = None
    for ts_ms, key, value in records:
        if stop():
            break
        if first is None or ts_ms < first:
            first = ts_ms
        if last is None or ts_ms > last:
            last = ts_ms
        sender.send(clamp_ms(ts_ms, now_ms()), key, value)
    sender.finish()
    return Summary.of(sender.sent, sender.acked, sender.failed, time.monotonic() - begin, first, last, sender.first_failure)


def parse_speed(text: str) -> float:
    """`max` or a positive number. Raises ValueError."""
    if text == "max":
        return MAX_SPEED
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0.0 < speed < MAX_SPEED:
        raise ValueError(f"--speed {text}: expected `max` or a number above 0, like 1 or 20")
    return speed
