"""Batches on disk while Kafka does not take them: SQLite files as segments, fsynced at every append, drained in the order of arrival.

SQLite in WAL mode with synchronous=FULL is the library that serves: a commit is on disk when it returns, a torn tail is dropped at the next open, and one
process at a time holds a folder. What it does not have, a checksum on every row and files that shrink, is added here: a CRC-32 beside each batch, and a new
file after `segment_bytes`, unlinked when it is drained.

Every method blocks on the disk; the journal calls them from one thread of its own.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from services.dispatcher.events import Sparingly, log_event
from services.gateway.records import KafkaRecord
from services.stack.locks import file_lock

_SCHEMA = """
CREATE TABLE IF NOT EXISTS batch (id INTEGER PRIMARY KEY, events INTEGER NOT NULL, crc INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS drained (one INTEGER PRIMARY KEY CHECK (one = 1), upto INTEGER NOT NULL);
"""
_SUFFIX = ".sqlite"
READ_BYTES = 16 * 1024 * 1024
_PASSING = tuple(
    f"SQLITE_{name}"
    for name in ("FULL", "CANTOPEN", "BUSY", "NOMEM", "IOERR_WRITE", "IOERR_FSYNC", "IOERR_SHMOPEN", "IOERR_SHMSIZE", "IOERR_NOMEM")
)
"""How the names of errors begin that are the machine's and not the file's: what is in the file can be read later."""
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[KafkaRecord])


class OverflowFullError(Exception):
    """The disk budget is used up, or the disk is full."""


class OverflowBusyError(OSError):
    """The overflow cannot be read now, as on a full disk; what is in it is whole."""


class Position(NamedTuple):
    """Place of a batch: segment number and row."""

    segment: int
    row: int


class StoredBatch(NamedTuple):
    """A batch read back."""

    position: Position
    records: list[KafkaRecord]


class OverflowLog:
    """A queue of batches in one folder. `events` and `size_bytes` count what is not drained yet; `corrupt_batches` what failed its checksum.

    Opening it raises StackError when another gateway has the folder, OverflowBusyError.
    """

    def __init__(self, folder: Path, max_bytes: int, segment_bytes: int = 64 * 1024 * 1024) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._max_bytes, self._segment_bytes = folder, max_bytes, segment_bytes
        self.events = 0
        self.corrupt_batches = 0
        self._sizes: dict[int, int] = {}
        self._open: dict[int, sqlite3.Connection] = {}
        self._upto: dict[int, int] = {}
        self._say_unwritten = Sparingly("overflow_place_unwritten")
        self._newest = 0
        self._lock = ExitStack()
        self._lock.enter_context(file_lock(folder / "lock", f"writing to {folder}", 1))
        try:
            for path in sorted(folder.glob(f"*{_SUFFIX}")):
                self._recover(int(path.stem))
        except OverflowBusyError:
            self.close()
            raise

    @property
    def size_bytes(self) -> int:
        """Bytes of all segments."""
        return sum(self._sizes.values())

    def append(self, batches: Sequence[list[KafkaRecord]]) -> None:
        """Writes all of them in one transaction; they are on disk when this returns. Raises OverflowFullError, and then none of them is kept."""
        bodies = [_encoder.encode(batch) for batch in batches]
        added = sum(map(len, bodies))
        if self.size_bytes + added > self._max_bytes:
            raise OverflowFullError(f"the overflow of {self._max_bytes:,} bytes is full")
        number = self._writable()
        rows = [(len(batch), zlib.crc32(body), body) for batch, body in zip(batches, bodies, strict=True)]
        try:
            with _transaction(self._segment(number)) as connection:
                connection.executemany("INSERT INTO batch (events, crc, body) VALUES (?, ?, ?)", rows)
        except sqlite3.Error as error:
            raise OverflowFullError(f"the overflow on disk cannot be written: {error}") from error
        self._sizes[number] += added
        self.events += sum(map(len, batches))

    def read(self, after: Position | None, max_batches: int, max_bytes: int = READ_BYTES) -> list[StoredBatch]:
        """The next batches behind a position, or behind what was drained before; at least one, and no more when they come to `max_bytes`.

        A batch whose checksum fails is counted and has no records. Raises OverflowBusyError when the machine has no room for reading.
        """
        found: list[StoredBatch] = []
        size = 0
        for number in sorted(self._sizes):
            never_written = number not in self._open and not self._sizes[number]
            if never_written or (after is not None and number < after.segment):
                continue
            try:
                connection = self._segment(number)
                start = after.row if after is not None and number == after.segment else self._drained(number)
                query = "SELECT id, crc, body FROM batch WHERE id > ? ORDER BY id LIMIT ?"
                with closing(connection.execute(query, (start, max_batches - len(found)))) as rows:
                    for row, crc, body in rows:
                        found.append(StoredBatch(Position(number, row), self._decode(crc, body)))
                        size += len(body)
                        if size >= max_bytes:
                            return found
            except sqlite3.DatabaseError as error:
                if found and _passes(error):
                    return found
                self._set_aside(number, error)
                self._recount()
                continue
            if len(found) >= max_batches:
                break
        return found

    def drop(self, upto: Position) -> None:
        """Forgets every batch up to the position: it is in Kafka. Segments that are drained whole are deleted.

        On a full disk the place is kept in memory alone until a segment is drained whole: a gateway that is killed before sends that part again.
        Raises OverflowBusyError when the machine has no room for reading; to drop the same again later is right.
        """
        for number in sorted(self._sizes):
            if number > upto.segment:
                break
            try:
                self._forget(number, upto.row if number == upto.segment else 2**62)
            except sqlite3.DatabaseError as error:
                self._set_aside(number, error)
                self._recount()

    def _forget(self, number: int, row: int) -> None:
        connection = self._segment(number)
        places = (self._drained(number), row)
        gone = connection.execute("SELECT coalesce(sum(events), 0) FROM batch WHERE id > ? AND id <= ?", places).fetchone()[0]
        left = connection.execute("SELECT EXISTS (SELECT 1 FROM batch WHERE id > ?)", (row,)).fetchone()[0]
        self.events -= gone
        if not left:
            self._remove(number)
            return
        self._upto[number] = row
        try:
            with _transaction(connection):
                connection.execute("INSERT INTO drained VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET upto = excluded.upto", (row,))
        except sqlite3.OperationalError as error:
            self._say_unwritten(_name(error))

    def close(self) -> None:
        """Closes the files; what is not drained stays for the next start."""
        for connection in self._open.values():
            connection.close()
        self._open.clear()
        self._lock.close()

    def _writable(self) -> int:
        if self._newest not in self._sizes or self._sizes[self._newest] >= self._segment_bytes:
            self._newest += 1
            self._sizes[self._newest] = 0
        return self._newest

    def _segment(self, number: int) -> sqlite3.Connection:
        if number not in self._open:
            # The journal's one thread uses the connections; it need not be the thread that opened the log.
            connection = sqlite3.connect(self._path(number), isolation_level=None, check_same_thread=False)
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=FULL")
                connection.executescript(_SCHEMA)
            except sqlite3.Error:
                connection.close()
                raise
            self._open[number] = connection
        return self._open[number]

    def _drained(self, number: int) -> int:
        """The last row of a segment that is in Kafka."""
        if number not in self._upto:
            row = self._segment(number).execute("SELECT upto FROM drained").fetchone()
            self._upto[number] = int(row[0]) if row else 0
        return self._upto[number]

    def _decode(self, crc: int, body: bytes) -> list[KafkaRecord]:
        if zlib.crc32(body) == crc:
            return _decoder.decode(body)
        self.corrupt_batches += 1
        return []

    def _recount(self) -> None:
        query = "SELECT coalesce(sum(events), 0) FROM batch WHERE id > ?"
        self.events = 0
        for number in self._sizes:
            self.events += int(self._segment(number).execute(query, (self._drained(number),)).fetchone()[0])

    def _recover(self, number: int) -> None:
        self._newest = max(self._newest, number)
        try:
            connection = self._segment(number)
            events, size = connection.execute(
                "SELECT coalesce(sum(events) FILTER (WHERE id > ?), 0), coalesce(sum(length(body)), 0) FROM batch", (self._drained(number),)
            ).fetchone()
        except sqlite3.DatabaseError as error:
            self._set_aside(number, error)
            return
        self._sizes[number] = size
        self.events += events
        if events == 0:
            self._remove(number)

    def _set_aside(self, number: int, error: sqlite3.Error) -> None:
        """A file that SQLite cannot read is kept under another name: it stops nothing, and nothing of it is thrown away.

        Raises OverflowBusyError, and leaves the file where it is, for an error that passes.
        """
        if _passes(error):
            raise OverflowBusyError(f"the overflow {self._path(number)} cannot be read now: {_name(error)}") from error
        self.corrupt_batches += 1
        connection = self._open.pop(number, None)
        if connection is not None:
            connection.close()
        self._sizes.pop(number, None)
        self._upto.pop(number, None)
        path = self._path(number)
        log_event("overflow_segment_unreadable", file=str(path), error=_name(error))
        path.rename(path.with_suffix(".unreadable"))
        self._newest = max(self._newest, number)

    def _remove(self, number: int) -> None:
        connection = self._open.pop(number, None)
        if connection is not None:
            connection.close()
        self._sizes.pop(number, None)
        self._upto.pop(number, None)
        for suffix in ("", "-wal", "-shm"):
            self._path(number).with_name(self._path(number).name + suffix).unlink(missing_ok=True)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:012d}{_SUFFIX}"


def _name(error: sqlite3.Error) -> str:
    # The error's text may quote what a row holds.
    return str(getattr(error, "sqlite_errorname", type(error).__name__))


def _passes(error: sqlite3.Error) -> bool:
    return _name(error).startswith(_PASSING)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
    except BaseException:
        # A full disk has rolled it back already.
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
