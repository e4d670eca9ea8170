"""The generic webhook: Alertmanager's version 4 JSON, which on-call tools accept, signed as the Standard Webhooks specification says."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from typing import Any

import httpx
import orjson

from services.dispatcher.http_post import post
from services.dispatcher.notification import ZERO_TIME, Notification
from services.dispatcher.settings import WebhookSettings

_REGEX_SPECIAL = frozenset(r"\.+*?()|[]{}^$")
_SECRET_PREFIX = "whsec_"  # noqa: S105  the prefix of a secret, not a secret


def payload(notification: Notification, max_alerts: int = 0) -> dict[str, Any]:
    """The body, field by field as Alertmanager 0.34 sends it (notify/webhook/webhook.go `Message`)."""
    alerts = notification.alerts[:max_alerts] if max_alerts else notification.alerts
    return {
        # Alertmanager quotes the name as a regular expression; receivers that match on it expect that.
        "receiver": "".join(f"\\{c}" if c in _REGEX_SPECIAL else c for c in notification.receiver),
        "status": "firing" if notification.firing else notification.status,
        "alerts": [
            {
                "status": alert.status,
                "labels": alert.labels,
                "annotations": alert.annotations,
                "startsAt": alert.starts_at,
                "endsAt": ZERO_TIME if alert.status == "firing" else alert.ends_at or ZERO_TIME,
                "generatorURL": alert.generator_url,
                "fingerprint": alert.fingerprint,
            }
            for alert in alerts
        ],
        "groupLabels": notification.group_labels,
        "commonLabels": notification.common_labels,
        "commonAnnotations": notification.common_annotations,
        "externalURL": notification.external_url,
        "version": "4",
        "groupKey": notification.group_key,
        "truncatedAlerts": len(notification.alerts) - len(alerts),
    }


def signature(secret: str, message_id: str, timestamp_s: int, body: bytes) -> str:
    """The value of `webhook-signature`: `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body` (Standard Webhooks 1.0).

    A secret `whsec_…` holds its key in base64; any other is the key itself. The timestamp is of the attempt, so that a receiver can
    refuse what is old.
    """
    try:
        key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True) if secret.startswith(_SECRET_PREFIX) else secret.encode()
    except binascii.Error:
        key = secret.encode()
    signed = f"{message_id}.{timestamp_s}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


async def send(http: httpx.AsyncClient, settings: WebhookSettings, notification: Notification) -> str | None:
    """Posts one notification; any 2xx is acceptance. Raises SendError otherwise. Returns None: nothing to note."""
    body = orjson.dumps(payload(notification, settings.max_alerts))
    headers = {name: value.get_secret_value() for name, value in settings.headers.items()}
    headers |= {"Content-Type": "application/json", "Idempotency-Key": notification.notification_id}
    if settings.bearer_token:
        headers["Authorization"] = f"Bearer {settings.bearer_token.get_secret_value()}"
    if settings.signing_secret:
        now_s = int(time.time())
        headers |= {
            "webhook-id": notification.notification_id,
            "webhook-timestamp": str(now_s),
            "webhook-signature": signature(settings.signing_secret.get_secret_value(), notification.notification_id, now_s, body),
        }
    password = settings.password.get_secret_value() if settings.password else ""
    auth = httpx.BasicAuth(settings.username, password) if settings.username else None
    url = settings.url.get_secret_value()
    answer = await post(http, url, body, timeout_s=settings.timeout_s, headers=headers, auth=auth, status_suffices=True)
    if not answer.ok:
        raise answer.refusal()
    return None
