"""The overflow log on a real disk: order, recovery, damage, and its budget."""

from __future__ import annotations

import resource
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.gateway.overflow import OverflowBusyError, OverflowFullError, OverflowLog
from services.gateway.records import KafkaRecord
from services.stack.errors import StackError


def batch(number: int, size: int = 10) -> list[KafkaRecord]:
    return [KafkaRecord(b"t|a", b"%d-%d" % (number, place), 1000 + place) for place in range(size)]


def test_batches_come_back_in_order_and_are_forgotten_when_dropped(tmp_path: Path) -> None:
    log = OverflowLog(tmp_path, 10_000_000, segment_bytes=2_000)
    for number in range(30):
        log.append([batch(number)])
    assert log.events == 300 and len(list(tmp_path.glob("*.sqlite"))) > 2
    first = log.read(None, 7)
    assert [one.records for one in first] == [batch(number) for number in range(7)]
    rest = log.read(first[-1].position, 100)
    assert [one.records for one in rest] == [batch(number) for number in range(7, 30)]
    log.drop(first[-1].position)
    assert log.events == 230
    log.close()
    again = OverflowLog(tmp_path, 10_000_000, segment_bytes=2_000)
    assert again.events == 230
    assert [one.records for one in again.read(None, 100)] == [batch(number) for number in range(7, 30)]
    again.drop(rest[-1].position)
    assert again.events == 0 and again.size_bytes == 0
    assert not list(tmp_path.glob("*.sqlite*")), "segments that are drained are deleted"
    again.append([batch(99)])
    assert [one.records for one in again.read(None, 1)] == [batch(99)]


def test_what_was_appended_survives_a_kill(tmp_path: Path) -> None:
    code = f"""
import os, signal
from pathlib import Path
from services.gateway.overflow import OverflowLog
from tests.gateway.test_overflow import batch
log = OverflowLog(Path({str(tmp_path)!r}), 10_000_000)
log.append([batch(1), batch(2)])
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == -9
    log = OverflowLog(tmp_path, 10_000_000)
    assert [one.records for one in log.read(None, 10)] == [batch(1), batch(2)]


def test_the_budget_is_kept_and_nothing_of_a_refused_group_stays(tmp_path: Path) -> None:
    log = OverflowLog(tmp_path, 1_000)
    log.append([batch(1)])
    with pytest.raises(OverflowFullError, match="1,000 bytes is full"):
        log.append([batch(2, size=3), batch(3, size=100)])
    assert [one.records for one in log.read(None, 10)] == [batch(1)]


def test_a_damaged_row_is_counted_and_stops_nothing(tmp_path: Path) -> None:
    log = OverflowLog(tmp_path, 10_000_000)
    log.append([batch(number) for number in range(3)])
    log.close()
    [path] = tmp_path.glob("*.sqlite")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE batch SET body = CAST(replace(body, '1-5', 'X-5') AS BLOB) WHERE id = 2")
    connection.close()
    log = OverflowLog(tmp_path, 10_000_000)
    found = log.read(None, 10)
    assert [one.records for one in found] == [batch(0), [], batch(2)] and log.corrupt_batches == 1
    log.drop(found[-1].position)
    assert log.events == 0


def test_a_file_that_is_no_database_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "000000000001.sqlite").write_bytes(b"not a database" * 100)
    log = OverflowLog(tmp_path, 10_000_000)
    assert log.events == 0 and log.corrupt_batches == 1
    log.append([batch(1)])
    assert [one.records for one in log.read(None, 10)] == [batch(1)]
    assert (tmp_path / "000000000001.unreadable").exists()


def test_one_gateway_at_a_time_has_a_folder(tmp_path: Path) -> None:
    first = OverflowLog(tmp_path, 1_000)
    with pytest.raises(StackError, match="writing to"):
        OverflowLog(tmp_path, 1_000)
    first.close()
    OverflowLog(tmp_path, 1_000).close()


@contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process grows."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_drained(tmp_path: Path) -> None:
    log = OverflowLog(tmp_path, 10_000_000, segment_bytes=2_000)
    for number in range(30):
        log.append([batch(number)])
    files = len(list(tmp_path.glob("*.sqlite")))
    first = log.read(None, 20)
    with full_disk():
        with pytest.raises(OverflowFullError):
            log.append([batch(99)])
        log.drop(first[-1].position)
    assert log.events == 100, "what is in Kafka is forgotten though its place cannot be written"
    assert len(list(tmp_path.glob("*.sqlite"))) < files, "and segments that are drained whole make room"
    rest = log.read(None, 100)
    assert [one.records for one in rest] == [batch(number) for number in range(20, 30)]
    log.append([batch(30)])
    assert [one.records for one in log.read(rest[-1].position, 10)] == [batch(30)]
    log.drop(rest[-1].position)
    assert log.events == 10


def test_a_start_on_a_full_disk_sets_nothing_aside(tmp_path: Path) -> None:
    log = OverflowLog(tmp_path, 10_000_000)
    log.append([batch(1), batch(2)])
    log.close()
    with full_disk(), pytest.raises(OverflowBusyError, match="cannot be read now"):
        OverflowLog(tmp_path, 10_000_000)
    assert not list(tmp_path.glob("*.unreadable"))
    log = OverflowLog(tmp_path, 10_000_000)
    assert [one.records for one in log.read(None, 10)] == [batch(1), batch(2)]


def test_a_read_is_bounded_in_bytes(tmp_path: Path) -> None:
    log = OverflowLog(tmp_path, 10_000_000, segment_bytes=2_000)
    log.append([batch(number) for number in range(30)])
    size = log.size_bytes // 30
    assert len(log.read(None, 100, 5 * size)) in (5, 6)
    assert len(log.read(None, 100, 1)) == 1, "a batch that is larger than the bound is read by itself"


def test_a_file_that_breaks_while_it_is_drained_stops_nothing(tmp_path: Path) -> None:
    log = OverflowLog(tmp_path, 10_000_000, segment_bytes=2_000)
    for number in range(30):
        log.append([batch(number)])
    first = log.read(None, 3)
    with sqlite3.connect(tmp_path / "000000000001.sqlite") as connection:
        connection.execute("DROP TABLE batch")
    connection.close()
    log.drop(first[-1].position)
    assert log.corrupt_batches == 1 and [path.name for path in tmp_path.glob("*.unreadable")] == ["000000000001.unreadable"]
    rest = log.read(first[-1].position, 100)
    assert {one.position.segment for one in rest} == {2, 3} and log.events == 10 * len(rest)
    log.drop(rest[-1].position)
    assert log.events == 0
