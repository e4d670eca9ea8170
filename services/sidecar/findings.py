"""What is known of the anomalies of the application: those found here and those that the centre found, for a while."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import msgspec

Origin = Literal["local", "centre"]
FIELDS = ("tenant_id", "application_id", "detector_id", "severity", "user_id", "model")
"""By these a list may be narrowed."""


class Finding(NamedTuple):
    """An anomaly record as it came, and when (monotonic seconds)."""

    record: dict[str, Any]
    origin: Origin
    at_s: float


class FindingCache:
    """The newest anomalies by id; at most `size`, none older than `ttl_s`. What the centre says of an anomaly replaces what was found here."""

    def __init__(self, size: int, ttl_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.size, self.ttl_s, self._clock = size, ttl_s, clock
        self._known: OrderedDict[str, Finding] = OrderedDict()

    def __len__(self) -> int:
        self._forget()
        return len(self._known)

    def put(self, record: bytes, origin: Origin) -> bool:
        """Keeps an anomaly (JSON). Whether it was not known yet. Raises msgspec.DecodeError, KeyError, TypeError for what is none."""
        document: dict[str, Any] = msgspec.json.decode(record)
        identity = str(document["anomaly_id"])
        before = self._known.pop(identity, None)
        if before is not None and origin == "local" and before.origin == "centre":
            # The centre knows more: how often, since when, what belongs together.
            document, origin = before.record, "centre"
        self._known[identity] = Finding(document, origin, self._clock())
        self._forget()
        return before is None

    def list(self, wanted: dict[str, str]) -> list[dict[str, Any]]:
        """Newest first, those whose fields are as wanted; with `origin` beside the fields of an anomaly."""
        self._forget()
        return [
            {**one.record, "origin": one.origin}
            for one in reversed(self._known.values())
            if all(str(one.record.get(name, "")) == value for name, value in wanted.items())
        ]

    def _forget(self) -> None:
        oldest = self._clock() - self.ttl_s
        while self._known:
            first = next(iter(self._known.values()))
            if len(self._known) <= self.size and first.at_s >= oldest:
                return
            self._known.popitem(last=False)
