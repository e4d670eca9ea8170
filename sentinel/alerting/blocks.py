"""Anomalies on their way to the shards of alerts: those of one shard together, as one text.

A row that crosses between the JVM and Python costs more than most of what is done with it, and so does each write of state. A block crosses once, and what
it changed is written once.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from hashlib import md5

import msgspec

from sentinel.anomaly import Anomaly

MAX_BLOCK_CHARS = 1_000_000
"""A block that has become longer is followed by another one of its shard."""

SHARD_LETTERS = "habdrddbkcaddcbeicabbebgcdcababa"
"""What makes the name of a shard of its number, 0 to 31. Flink places a shard by the hash of its name; with these letters each falls into another one of
32 equal parts of the 720 groups of keys, so that 2, 4, 8, 16 or 32 subtasks have equally many."""

_entries = msgspec.json.Decoder(list[tuple[str, Anomaly]])
_encoder = msgspec.json.Encoder()


@lru_cache(maxsize=65_536)
def shard_of(alert_key: str) -> str:
    """The shard of an alert key: its number are the first five bits of the key's MD5, its name the first hexadecimal digit and a letter of it."""
    digest = md5(alert_key.encode(), usedforsecurity=False).hexdigest()
    return digest[0] + SHARD_LETTERS[int(digest[:2], 16) >> 3]


def refuse_strays(shard: str, alert_keys: Iterable[str]) -> None:
    """Raises ValueError when an alert that a shard has kept is none of it: a release with other shards wrote it, and here it would be told of twice."""
    for key in alert_keys:
        if shard_of(key) != shard:
            raise ValueError(f"state of another release: an alert of shard {shard_of(key)!r} lies in shard {shard!r}")


class ShardBlocks:
    """Collects what alerts are to hear of, in the order in which it came."""

    def __init__(self) -> None:
        self._open: dict[str, list[str]] = {}
        self._chars: dict[str, int] = {}
        self._full: list[tuple[str, str]] = []

    def add(self, alert_key: str, record: str) -> None:
        """An anomaly, as JSON, for the alert of that key."""
        shard = shard_of(alert_key)
        # JSON has line feeds only where it may have spaces; a block is one line.
        self._open.setdefault(shard, []).append(f"[{_quoted(alert_key)},{record}]".replace("\n", " "))
        chars = self._chars[shard] = self._chars.get(shard, 0) + len(record)
        if chars > MAX_BLOCK_CHARS:
            self._full.append((shard, _block(self._open.pop(shard))))
            del self._chars[shard]

    def take(self) -> list[tuple[str, str]]:
        """Shards and their blocks since the last call. The blocks of a shard follow one another."""
        found = [*self._full, *((shard, _block(entries)) for shard, entries in self._open.items())]
        self._open, self._chars, self._full = {}, {}, []
        return found


def entries_of(block: str) -> list[tuple[str, Anomaly]]:
    """Alert keys and anomalies of a block. Raises `msgspec.ValidationError` for anything else."""
    return _entries.decode(block)


def _block(entries: list[str]) -> str:
    return f"[{','.join(entries)}]"


@lru_cache(maxsize=65_536)
def _quoted(alert_key: str) -> str:
    return _encoder.encode(alert_key).decode()
