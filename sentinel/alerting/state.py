"""What is remembered of one alert key, and its codec. Times are epoch milliseconds: event time, or processing time where said."""

from __future__ import annotations

from typing import Literal

import msgspec

CODEC_VERSION = 1
MAX_SEEN = 256
"""Anomaly ids remembered for idempotence; the one that changed longest ago is forgotten first."""

SEVERITIES = ("info", "warning", "critical")
"""Severities by rank."""

Phase = Literal["pending", "firing", "resolved"]


def rank(severity: str) -> int:
    """0 for info, 1 for warning, 2 for critical; an unknown severity counts as info."""
    return SEVERITIES.index(severity) if severity in SEVERITIES else 0


class Sample(msgspec.Struct, array_like=True):
    """Occurrences that one anomaly record added while the aggregation is not reached."""

    anomaly_id: str
    first_seen: int
    at: int
    count: int
    value: float | None


class Member(msgspec.Struct, array_like=True):
    """One label set within the alert. `expires` (processing time) is when it counts as resolved."""

    labels: dict[str, str]
    annotations: dict[str, str]
    newest: tuple[int, str]
    starts_at: int
    last_seen: int
    expires: int
    firing: bool = True


class Delivery(msgspec.Struct, array_like=True):
    """What one receiver was told and when it is due again (processing time).

    `origin` is its first flush in this alert, from which the ticks of group_interval are counted; None while it has nothing to say.
    `sequence`, `last_firing` and `told_severity` outlive that, for ids and for throttling.
    """

    origin: int | None = None
    next_flush: int | None = None
    last_flush: int | None = None
    told: list[str] = []
    told_severity: int = 0
    sequence: int = 0
    last_firing: int | None = None

    def rest(self) -> None:
        """Nothing more to say until something fires again."""
        self.origin = self.next_flush = self.last_flush = None
        self.told = []


class GroupState(msgspec.Struct, array_like=True):
    """Everything about one alert key. `fires_at` (processing time) is set once the aggregation is reached; `forget_at` ends the memory."""

    phase: Phase = "pending"
    config_version: int = 0
    alert_id: str = ""
    starts_at: int = 0
    last_seen: int = 0
    count: int = 0
    severity: int = 0
    anomaly_ids: list[str] = []
    labels: dict[str, str] = {}
    receivers: list[str] = []
    seen: dict[str, tuple[int, int]] = {}
    members: dict[str, Member] = {}
    deliveries: dict[str, Delivery] = {}
    samples: list[Sample] = []
    fires_at: int | None = None
    forget_at: int | None = None

    def note(self, anomaly_id: str, count: int, last_seen: int) -> int | None:
        """Remember a record of an anomaly. Occurrences that it adds, or None when it says nothing new (a replay)."""
        known_count, known_last = self.seen.get(anomaly_id, (0, -1))
        if count <= known_count and last_seen <= known_last:
            return None
        self.seen.pop(anomaly_id, None)
        self.seen[anomaly_id] = (max(count, known_count), max(last_seen, known_last))
        if len(self.seen) > MAX_SEEN:
            del self.seen[next(iter(self.seen))]
        return max(0, count - known_count)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(GroupState)


def encode(state: GroupState) -> bytes:
    """One byte of codec version, then MessagePack."""
    return bytes([CODEC_VERSION]) + _encoder.encode(state)


def decode(data: bytes) -> GroupState:
    """What `encode` wrote. Raises ValueError for another codec version or damaged bytes."""
    if data[0] != CODEC_VERSION:
        raise ValueError(f"alert state: expected codec version {CODEC_VERSION}, found {data[0]}")
    try:
        return _decoder.decode(data[1:])
    except msgspec.MsgspecError as error:
        raise ValueError(f"alert state: {error}") from error
