"""Replayed files: every record once, in order, at the right event time; what a trace lacks is modelled and nothing is lost."""

from __future__ import annotations

import math
from pathlib import Path

import orjson
import pytest

from sentinel.contract.telemetry import TelemetryEvent
from services.traffic.generator import TrafficSettings, generate_events
from services.traffic.rebase import FUTURE_LIMIT_MS, MAX_SPEED, PAST_LIMIT_MS, clamp_ms, now_ms, paced, shift_to_now, time_range
from services.traffic.replay import Replay, parse_speed, prepare_replay, run_stream
from services.traffic.sources import SourceError, read_jsonl
from services.traffic.trace_azure import parse_row, read_azure

START = 1_762_430_400_000
TRACES = Path(__file__).resolve().parents[3] / "shared" / "data" / "traces"


class Recorder:
    """Takes records in place of Kafka."""

    def __init__(self) -> None:
        self.records: list[tuple[int, bytes | None, bytes]] = []
        self.failed = 0
        self.first_failure: str | None = None

    @property
    def sent(self) -> int:
        return len(self.records)

    @property
    def acked(self) -> int:
        return len(self.records)

    def send(self, ts_ms: int, key: bytes | None, value: bytes) -> None:
        self.records.append((ts_ms, key, value))

    def wait(self, seconds: float) -> None:
        raise AssertionError("nothing waits at speed max")

    def finish(self, timeout_s: float | None = None) -> None:
        """Nothing is under way."""


@pytest.fixture
def jsonl(tmp_path: Path) -> Path:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"".join(t.value() + b"\n" for t in generate_events(TrafficSettings(), START, events=500)))
    return path


def prepare(path: Path, format_name: str = "telemetry-jsonl", *, rebase: str = "now", limit: int | None = None) -> Replay:
    assert rebase in ("now", "none")
    mode = "now" if rebase == "now" else "none"
    return prepare_replay(path, format_name, speed=MAX_SPEED, rebase=mode, plan=None, limit=limit, seed=1)  # type: ignore[arg-type]


def test_at_max_speed_the_last_event_is_now_and_all_keep_their_distances(jsonl: Path) -> None:
    recorder = Recorder()
    prepared = prepare(jsonl)
    summary = run_stream(prepared.stream, recorder, first_ms=prepared.first_ms, speed=MAX_SPEED)
    assert (summary.sent, summary.acked, summary.failed) == (500, 500, 0)
    original = [orjson.loads(line) for line in jsonl.read_bytes().splitlines()]
    sent = [orjson.loads(value) for _, _, value in recorder.records]
    assert [e["event_id"] for e in sent] == [e["event_id"] for e in original]
    assert abs(recorder.records[-1][0] - now_ms()) < 5000
    times = [ts for ts, _, _ in recorder.records]
    assert times[-1] - times[0] == prepared.times.span_ms
    assert recorder.records[0][1] == f"{original[0]['tenant_id']}|{original[0]['application_id']}".encode()
    for (ts_ms, _, _), event in zip(recorder.records, sent, strict=True):
        assert orjson.loads(orjson.dumps(event))["timestamp"].endswith(f".{ts_ms % 1000:03d}Z")


def test_without_rebasing_the_bytes_stay_and_the_record_time_is_clamped(jsonl: Path) -> None:
    recorder = Recorder()
    prepared = prepare(jsonl, rebase="none", limit=50)
    run_stream(prepared.stream, recorder, first_ms=prepared.first_ms, speed=MAX_SPEED)
    assert [value for _, _, value in recorder.records] == jsonl.read_bytes().splitlines()[:50]
    assert all(abs(now_ms() - PAST_LIMIT_MS - ts) < 60_000 for ts, _, _ in recorder.records)


def test_bad_lines_travel_unchanged_at_the_time_of_the_line_before(tmp_path: Path, jsonl: Path) -> None:
    good = jsonl.read_bytes().splitlines()[:30]
    bad = [b"{broken", b"\xff\xfe", b"[1]", b'{"timestamp": 5}', b'{"timestamp": "soon"}']
    path = tmp_path / "mixed.jsonl"
    path.write_bytes(b"\n".join([bad[0], *good[:15], *bad[1:], *good[15:]]))
    events = list(read_jsonl(path, 1))
    assert len(events) == 35
    assert events[0].ts_ms == events[1].ts_ms
    recorder = Recorder()
    prepared = prepare(path)
    run_stream(prepared.stream, recorder, first_ms=prepared.first_ms, speed=MAX_SPEED)
    assert [value for _, key, value in recorder.records if key is None] == bad
    times = [ts for ts, _, _ in recorder.records]
    assert times == sorted(times)


def test_absurd_stamps_move_no_clock(tmp_path: Path, jsonl: Path) -> None:
    lines = jsonl.read_bytes().splitlines()[:200]
    for index, stamp in ((50, "1970-01-01T00:00:00.000Z"), (100, "2100-01-01T00:00:00.000Z")):
        lines[index] = orjson.dumps({**orjson.loads(lines[index]), "timestamp": stamp})
    path = tmp_path / "absurd.jsonl"
    path.write_bytes(b"\n".join(lines))
    recorder = Recorder()
    prepared = prepare(path)
    run_stream(prepared.stream, recorder, first_ms=prepared.first_ms, speed=MAX_SPEED)
    times = [ts for ts, _, _ in recorder.records]
    assert times == sorted(times)
    assert max(times) - min(times) < 60_000
    assert recorder.records[50][2] == lines[50]
    assert recorder.records[100][2] == lines[100]


@pytest.mark.parametrize(("speed", "first", "last"), [(1.0, 0, 60_000), (20.0, -57_000, 3000), (MAX_SPEED, -60_000, 0)])
def test_nothing_lies_in_the_future_when_it_is_sent(speed: float, first: int, last: int) -> None:
    times = time_range(t for t in generate_events(TrafficSettings(), START, duration_s=50))
    times = type(times)(START, START + 60_000, times.low_ms, times.high_ms, times.records)
    shift = shift_to_now(times, speed, START)
    assert (times.first_ms + shift - START, times.last_ms + shift - START) == (first, last)


def test_pacing_holds_events_back_by_the_speed() -> None:
    clock = [0.0]
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        clock[0] += seconds

    events = list(generate_events(TrafficSettings(rate=50, rhythm=False), START, duration_s=10))
    list(paced(iter(events), START, 20.0, clock=lambda: clock[0], sleep=sleep))
    assert clock[0] == pytest.approx((events[-1].ts_ms - START) / 1000 / 20)


def test_record_times_are_clamped_as_at_our_doors() -> None:
    now = now_ms()
    assert clamp_ms(0, now) == now - PAST_LIMIT_MS
    assert clamp_ms(now + 10 * FUTURE_LIMIT_MS, now) == now + FUTURE_LIMIT_MS
    assert clamp_ms(now - 5, now) == now - 5


def test_speed_is_max_or_a_positive_number() -> None:
    assert parse_speed("max") == math.inf
    assert parse_speed("20") == 20.0
    for text in ("0", "-1", "fast", "inf", "nan"):
        with pytest.raises(ValueError, match="expected `max` or a number above 0"):
            parse_speed(text)


def test_a_row_of_the_trace_is_cut_to_milliseconds() -> None:
    assert parse_row("2023-11-16 18:15:46.6805900,374,44", "f:2") == (1_700_158_546_680, 374, 44)
    assert parse_row("2023-11-16 18:15:46,374,44", "f:2").ts_ms == 1_700_158_546_000


@pytest.mark.parametrize(
    "line", ["2023-11-16 18:15:46.68,374", "yesterday,1,2", "2023-11-16 18:15:46.68,x,2", "2023-11-16 18:15:46.68,-1,2"]
)
def test_a_bad_row_is_named_with_file_and_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(f"TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.68,1,2\n{line}\n")
    with pytest.raises(SourceError, match=r"trace\.csv:3: expected"):
        list(read_azure(path, 1))


def test_a_file_of_another_format_is_refused(tmp_path: Path, jsonl: Path) -> None:
    with pytest.raises(SourceError, match=r":1: expected the header TIMESTAMP,ContextTokens,GeneratedTokens"):
        list(read_azure(jsonl, 1))
    other = tmp_path / "prose.txt"
    other.write_text("no events\nhere\n")
    with pytest.raises(SourceError, match="found 2 lines and none"):
        list(read_jsonl(other, 1))


@pytest.mark.parametrize(("name", "rows"), [("conv", 19_366), ("code", 8_819)])
def test_each_row_of_the_azure_trace_is_one_valid_response(name: str, rows: int) -> None:
    path = TRACES / f"azure-llm-2023-{name}.csv"
    if not path.exists():
        pytest.skip(f"{path.name} is not on this machine")
    events = list(read_azure(path, 1))
    assert len(events) == rows
    assert len({t.event["event_id"] for t in events if t.event}) == rows
    lines = path.read_text().splitlines()[1:]
    for timed, line in zip(events, lines, strict=True):
        assert timed.event is not None
        data = timed.event["data"]
        assert f"{data['prompt_tokens']},{data['completion_tokens']}" == line.split(",", 1)[1]
    for timed in events[::50]:
        assert TelemetryEvent.model_validate(timed.event).root.event_type == "llm.response"
    assert [t.value() for t in events[:500]] == [t.value() for t, _ in zip(read_azure(path, 1), range(500), strict=False)]
