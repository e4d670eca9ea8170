"""The two records that alerting emits (topics `llm-alerts` and `notify-<receiver>`, tables `alerts` and `notifications`)."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from sentinel.identity import stable_id

MAX_ANOMALY_IDS = 50
"""Most anomaly ids listed in an alert record; `count` still counts all occurrences."""

Status = Literal["firing", "resolved"]
AlertStatus = Literal["firing", "acknowledged", "resolved"]
Outcome = Literal["sent", "grouped", "suppressed", "throttled", "acknowledged", "quiet", "nobody", "control"]

_encoder = msgspec.json.Encoder()


class AlertRecord(msgspec.Struct, frozen=True, kw_only=True):
    """State of one alert after a change. Later records of the same `alert_id` replace earlier ones.

    Holds event times only (RFC 3339, milliseconds, Z), so the record is a function of the anomalies and not of when they were processed.
    """

    alert_id: str
    definition_id: str
    tenant_id: str
    status: AlertStatus
    severity: str
    labels: dict[str, str]
    annotations: dict[str, str]
    group_key: str
    starts_at: str
    ends_at: str | None
    last_seen: str
    count: int
    anomaly_ids: list[str]
    receivers: list[str]
    config_version: int
    fingerprint: str
    reopened: int = 0
    """How often it was taken up again after its end."""
    shield: list[dict[str, Any]] = []
    """What Shield is asked to enforce while the alert fires (`sentinel.shield`): always what the alert itself asks for, and once each what its anomalies
    asked for and an earlier end revoked."""
    shield_anomaly_ids: list[str] = []
    """Of an alert that is over: anomalies beyond `anomaly_ids` that asked something of Shield, for it to be revoked."""
    shield_forgotten: int = 0
    """Of an alert that is over: how many more asked, and were too many to be remembered. What they asked for ends by itself."""

    def to_json(self) -> bytes:
        """The record as UTF-8 JSON; equal records give equal bytes."""
        return _encoder.encode(self)

    @classmethod
    def from_json(cls, data: bytes) -> AlertRecord:
        """Parse what `to_json` wrote. Raises `msgspec.ValidationError` when a field is missing or of a wrong type."""
        return msgspec.json.decode(data, type=cls)


class NotifiedAlert(msgspec.Struct, frozen=True, kw_only=True):
    """One label set inside a notification, in the field names of Alertmanager's webhook version 4."""

    status: Status
    labels: dict[str, str]
    annotations: dict[str, str]
    startsAt: str  # noqa: N815
    endsAt: str  # noqa: N815
    generatorURL: str  # noqa: N815
    fingerprint: str


class NotificationRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One message for one receiver. Holds no secret: the dispatcher looks the receiver up by name."""

    notification_id: str
    alert_id: str
    tenant_id: str
    receiver: str
    receiver_type: str
    sequence: int
    status: Status
    group_key: str
    group_labels: dict[str, str]
    common_labels: dict[str, str]
    common_annotations: dict[str, str]
    external_url: str
    alerts: list[NotifiedAlert]
    severity: str
    title: str
    text: str
    created_at: str
    config_version: int
    definition_id: str = ""
    priority: str = ""

    def to_json(self) -> bytes:
        """The record as UTF-8 JSON; equal records give equal bytes."""
        return _encoder.encode(self)

    @classmethod
    def from_json(cls, data: bytes) -> NotificationRecord:
        """Parse what `to_json` wrote. Raises `msgspec.ValidationError` when a field is missing or of a wrong type."""
        return msgspec.json.decode(data, type=cls)


class DecisionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided about an alert and a receiver, and why. A decision that only goes on is not recorded again.

    Attributes:
        outcome: `sent` (notification_id), `grouped` (waits until), `suppressed` (by what), `throttled` (until), `acknowledged` (not repeated),
            `quiet` (over, and the receiver wants no such news), `nobody` (no receiver), `control` (what somebody did).
        firing, resolved: label sets that the decision is about.
    """

    decision_id: str
    alert_id: str
    tenant_id: str
    receiver: str
    at: str
    outcome: Outcome
    detail: str
    firing: int
    resolved: int
    until: str | None = None
    notification_id: str | None = None

    def to_json(self) -> bytes:
        """The record as UTF-8 JSON; equal records give equal bytes."""
        return _encoder.encode(self)


Output = AlertRecord | NotificationRecord | DecisionRecord


def alert_id(tenant_id: str, definition_id: str, group_labels: str, starts_at: str) -> str:
    """UUIDv5 of what makes an alert that alert; `group_labels` is the canonical JSON of `AlertKey`."""
    return stable_id(tenant_id, definition_id, group_labels, starts_at)


def notification_id(alert: str, receiver: str, sequence: int) -> str:
    """UUIDv5 of alert, receiver and the number of the message to that receiver (from 1)."""
    return stable_id(alert, receiver, sequence)
