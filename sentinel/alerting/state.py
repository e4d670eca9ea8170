"""What is remembered of one alert key, and its codec. Times are epoch milliseconds: event time, or processing time where said."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from sentinel.alerting.alerts import Alert
from sentinel.alerting.log import LogEntry
from sentinel.shield import bounded

CODEC_VERSION = 2
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


class Member(Alert, array_like=True):
    """One label set within the alert. `newest` is the anomaly record that its annotations are from; `last_seen` is event time."""

    newest: tuple[int, str] = (0, "")
    last_seen: int = 0
    firing: bool = False


class Told(msgspec.Struct, array_like=True):
    """What one receiver was sent about the alert: for ids, throttling and the story.

    Attributes:
        sequence: messages so far.
        fired: when messages that something fires were sent (processing time), the newest last.
        severity: rank of the last of them.
        outcome: the last decision on record, so that the same one is not recorded at every tick.
    """

    sequence: int = 0
    fired: list[int] = []
    severity: int = 0
    outcome: str = ""


class Clock(msgspec.Struct, array_like=True):
    """A group of `flush.Group` at rest: its alerts are names of members.

    Attributes:
        due: the next tick at which something can be said.
        asleep: not 0: ticks (this many milliseconds apart) lie between the last one and `due` at which, as things are, nothing can be said. Whatever
            changes that wakes the group up.
    """

    route_id: str
    due: int
    names: list[str]
    reached: list[str] = []
    step: int = 0
    escalation_due: int | None = None
    asleep: int = 0

    def wake(self, earliest: int) -> None:
        """Back to the first tick at `earliest` or later."""
        if self.asleep:
            self.due -= max(0, self.due - earliest) // self.asleep * self.asleep
            self.asleep = 0


class GroupState(msgspec.Struct, array_like=True):
    """Everything about one alert key. `fires_at` (processing time) is set once the aggregation is reached; `forget_at` ends the memory.
    `reported_at` is when the alert's record went out last; `unreported`: occurrences came since.

    `log` goes by receiver; `ends` are times at which label sets ended (for flap damping). `reopened` counts how often the alert was taken up
    again after its end, and `reopened_at` (event time) is when last.

    `asking`: anomalies that asked something of Shield, and when the last of it is over (event time); `forgotten_asking` counts those that were too many.
    `revoked`: those whose actions an earlier end revoked, and that have not gone on since; `shield_again` waits for the next record: actions of
    those that did.
    """

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
    clocks: list[Clock] = []
    log: dict[str, LogEntry] = {}
    told: dict[str, Told] = {}
    samples: list[Sample] = []
    ends: list[int] = []
    flapping: bool = False
    decisions: int = 0
    fires_at: int | None = None
    forget_at: int | None = None
    reported_at: int = 0
    unreported: bool = False
    reopened: int = 0
    reopened_at: int = 0
    shield_again: list[dict[str, Any]] = []
    asking: dict[str, int] = {}
    revoked: dict[str, int] = {}
    forgotten_asking: int = 0

    @property
    def acknowledged(self) -> bool:
        """Whether somebody takes care of everything that fires."""
        firing = [member for member in self.members.values() if member.firing]
        return bool(firing) and all(member.acknowledged for member in firing)

    def asked_of_shield(self, anomaly_id: str) -> bool:
        """Whether it is an anomaly of this alert, or of one before it, that asked something of Shield."""
        return anomaly_id in self.asking or anomaly_id in self.revoked

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

    def successor(self, *, reopen: bool, at: int) -> GroupState:
        """The state in which an alert begins after one that is over: the same alert again (since `at`, event time), or a new one that knows what
        receivers know."""
        fresh = GroupState(seen=self.seen, told=self.told, log=self.log, config_version=self.config_version)
        fresh.clocks, fresh.decisions = self.clocks, self.decisions
        fresh.ends, fresh.flapping = self.ends, self.flapping
        fresh.revoked = self.revoked | self.asking
        bounded(fresh.revoked)
        fresh.members = {name: member for name, member in self.members.items() if any(name in clock.names for clock in self.clocks)}
        if reopen:
            fresh.alert_id, fresh.starts_at, fresh.count, fresh.severity = self.alert_id, self.starts_at, self.count, self.severity
            fresh.anomaly_ids, fresh.labels, fresh.last_seen = self.anomaly_ids, self.labels, self.last_seen
            fresh.receivers, fresh.reopened, fresh.reopened_at = self.receivers, self.reopened + 1, at
        else:
            fresh.decisions = 0
            for told in self.told.values():
                told.sequence = 0
        return fresh


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
