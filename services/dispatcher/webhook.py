"""The generic webhook: Alertmanager's version 4 JSON, which on-call tools accept."""

from __future__ import annotations

import asyncio
import time
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import orjson

from services.dispatcher.errors import SendError
from services.dispatcher.events import plain
from services.dispatcher.notification import ZERO_TIME, Notification
from services.dispatcher.settings import WebhookSettings

_REGEX_SPECIAL = frozenset(r"\.+*?()|[]{}^$")
_BODY_EXCERPT_BYTES = 300
RETRYABLE_STATUS = frozenset({408, 425, 429})


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


def client() -> httpx.AsyncClient:
    """The client that all webhooks share: no redirects, no proxy or .netrc of the environment, and no common
    connection limit, at which one hanging receiver would make the others wait."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
    return httpx.AsyncClient(follow_redirects=False, trust_env=False, limits=limits, headers={"User-Agent": "LLM-Sentinel"})


async def send(http: httpx.AsyncClient, settings: WebhookSettings, notification: Notification) -> str | None:
    """Posts one notification; any 2xx is acceptance. Raises SendError otherwise. Returns None: nothing to note."""
    headers = {name: value.get_secret_value() for name, value in settings.headers.items()}
    headers |= {"Content-Type": "application/json", "Idempotency-Key": notification.notification_id}
    if settings.bearer_token:
        headers["Authorization"] = f"Bearer {settings.bearer_token.get_secret_value()}"
    password = settings.password.get_secret_value() if settings.password else ""
    auth = httpx.BasicAuth(settings.username, password) if settings.username else None
    body = orjson.dumps(payload(notification, settings.max_alerts))
    url = settings.url.get_secret_value()
    try:
        # httpx bounds each step; the outer time-out bounds a receiver that answers drop by drop.
        async with (
            asyncio.timeout(settings.timeout_s),
            http.stream("POST", url, content=body, headers=headers, auth=auth, timeout=settings.timeout_s) as response,
        ):
            if response.is_success:
                return None
            excerpt = await _excerpt(response)
    except TimeoutError:
        raise SendError(f"no answer within {settings.timeout_s:g} s", retryable=True) from None
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError, UnicodeEncodeError) as error:
        raise SendError(f"the request cannot be made: {type(error).__name__}", retryable=False) from None
    except httpx.HTTPError as error:
        raise SendError(f"{type(error).__name__} {error}".strip(), retryable=True) from None
    status = response.status_code
    retryable = status >= 500 or status in RETRYABLE_STATUS
    reason = f"HTTP {status}{' (redirects are not followed)' if response.is_redirect else ''} {excerpt}".strip()
    raise SendError(reason, retryable=retryable, retry_after_s=retry_after(response.headers.get("Retry-After")) if retryable else None)


async def _excerpt(response: httpx.Response) -> str:
    """The beginning of the answer, which often says what is wrong; a receiver may answer with anything of any length."""
    start = b""
    async for chunk in response.aiter_bytes(_BODY_EXCERPT_BYTES):
        start += chunk
        if len(start) >= _BODY_EXCERPT_BYTES:
            break
    return plain(start[:_BODY_EXCERPT_BYTES].decode(errors="replace"), _BODY_EXCERPT_BYTES)


def retry_after(value: str | None) -> float | None:
    """Seconds of a Retry-After header, given as seconds or as an HTTP date (RFC 9110, 10.2.3); None when absent or unreadable."""
    if value is None:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        return float(value.strip()[:9])
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
