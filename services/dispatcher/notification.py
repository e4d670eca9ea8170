"""The notification record as the alerting job froze it (topics `notify-<receiver>`)."""

from __future__ import annotations

import hashlib

import msgspec

ZERO_TIME = "0001-01-01T00:00:00Z"
"""Alertmanager's `endsAt` of an alert that still fires."""


class AlertItem(msgspec.Struct, kw_only=True, rename="camel"):
    """One alert of a notification, in Alertmanager's field names."""

    status: str
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    starts_at: str
    ends_at: str | None = None
    generator_url: str = msgspec.field(default="", name="generatorURL")
    fingerprint: str = ""


class Notification(msgspec.Struct, kw_only=True):
    """One notification to one receiver. The id is sent as idempotency key and keys the ledger."""

    notification_id: str
    receiver: str
    status: str
    alert_id: str = ""
    tenant_id: str = ""
    receiver_type: str = ""
    sequence: int = 0
    severity: str = ""
    title: str = ""
    text: str = ""
    group_key: str = ""
    group_labels: dict[str, str] = {}
    common_labels: dict[str, str] = {}
    common_annotations: dict[str, str] = {}
    external_url: str = ""
    alerts: list[AlertItem] = []
    created_at: str = ""
    config_version: int = 0
    definition_id: str = ""
    priority: str = ""

    @property
    def firing(self) -> int:
        """How many of its alerts fire."""
        return sum(alert.status == "firing" for alert in self.alerts)


_decoder = msgspec.json.Decoder(Notification)


def headline(notification: Notification) -> str:
    """Status and title in one line, as Alertmanager's subjects: `[FIRING:2] …`; a title that begins with a bracket has said it itself."""
    title = " ".join((notification.title or notification.text or "notification").split())
    if title.startswith("["):
        return title
    return f"[{f'FIRING:{notification.firing}' if notification.firing else notification.status.upper()}] {title}"


def link(notification: Notification) -> str:
    """Where people read on: the page of the first alert, else the product's; empty when neither is an http address."""
    addresses = [alert.generator_url for alert in notification.alerts[:1]] + [notification.external_url]
    return next((address for address in addresses if address.startswith(("http://", "https://"))), "")


def shortened(notification: Notification, *, alerts: int, value: int, labels: int = 50) -> Notification:
    """A copy for receivers with limits: at most so many alerts, characters in a value, and labels or annotations in a set."""

    def short(pairs: dict[str, str]) -> dict[str, str]:
        return {name[:200]: text if len(text) <= value else text[: value - 1] + "…" for name, text in list(pairs.items())[:labels]}

    return msgspec.structs.replace(
        notification,
        alerts=[
            msgspec.structs.replace(alert, labels=short(alert.labels), annotations=short(alert.annotations))
            for alert in notification.alerts[:alerts]
        ],
        common_labels=short(notification.common_labels),
        common_annotations=short(notification.common_annotations),
    )


def parse(value: bytes) -> Notification:
    """Raises ValueError naming the JSON path when the record is not a notification."""
    try:
        notification = _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"not a notification record: {error}") from error
    if not notification.notification_id.isprintable() or not 0 < len(notification.notification_id) <= 200:
        raise ValueError("not a notification record: expected 1 to 200 printable characters - at `$.notification_id`")
    return notification


def digest(value: bytes) -> str:
    """SHA-256 of a record, which the ledger keeps as proof of what was sent."""
    return hashlib.sha256(value).hexdigest()
