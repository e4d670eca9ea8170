"""Microsoft Teams: an Adaptive Card to a Workflows webhook ("Post to a channel when a webhook request is received")."""

from __future__ import annotations

from typing import Any

import httpx
import orjson

from services.dispatcher.errors import SendError
from services.dispatcher.events import plain
from services.dispatcher.http_post import post
from services.dispatcher.notification import AlertItem, Notification, headline, link, shortened
from services.dispatcher.settings import TeamsSettings

MAX_MESSAGE_BYTES = 28_000
"""Teams refuses messages above 28 KB."""
_COLOURS = {"critical": "Attention", "warning": "Warning", "info": "Accent"}
_ALERT_STEPS = (20, 5, 1, 0)


def message(notification: Notification) -> dict[str, Any]:
    """The message with one card; with fewer and shorter alerts when it would be too long."""
    for alerts in _ALERT_STEPS:
        whole = _message(notification, alerts)
        if len(orjson.dumps(whole)) <= MAX_MESSAGE_BYTES:
            break
    return whole


async def send(http: httpx.AsyncClient, settings: TeamsSettings, notification: Notification) -> str | None:
    """Posts one card. Acceptance is 202 (Workflows), or 200 with the body `1` or none: a connector answers 200 with an error text too.

    Raises SendError otherwise.
    """
    answer = await post(http, settings.webhook_url.get_secret_value(), orjson.dumps(message(notification)), timeout_s=settings.timeout_s)
    if answer.status == 202 or (answer.status == 200 and answer.text.strip() in ("", "1")):
        return None
    if not answer.ok:
        raise answer.refusal()
    raise SendError(f"HTTP {answer.status}, and not an acceptance: {plain(answer.text, 300)}", retryable=True)


def _message(notification: Notification, alerts: int) -> dict[str, Any]:
    shown = shortened(notification, alerts=alerts, value=400, labels=10)
    firing = notification.firing or notification.status == "firing"
    colour = _COLOURS.get(notification.severity, "Default") if firing else "Good"
    body: list[dict[str, Any]] = [
        {
            "type": "TextBlock",
            "text": plain(headline(notification), 300),
            "size": "Large",
            "weight": "Bolder",
            "wrap": True,
            "color": colour,
        }
    ]
    if shown.text:
        body.append({"type": "TextBlock", "text": shown.text[:2_000], "wrap": True})
    facts = [{"title": name, "value": value} for name, value in shown.common_labels.items() if value]
    if facts:
        body.append({"type": "FactSet", "facts": facts})
    body += [_alert(alert) for alert in shown.alerts if len(notification.alerts) > 1]
    left_out = len(notification.alerts) - len(shown.alerts)
    if left_out and len(notification.alerts) > 1:
        body.append({"type": "TextBlock", "text": f"and {left_out:,} more", "isSubtle": True})
    footer = f"tenant {notification.tenant_id or '-'} · notification {notification.notification_id}"
    body.append({"type": "TextBlock", "text": footer, "isSubtle": True, "size": "Small", "wrap": True})
    address = link(notification)
    card: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "body": body,
    }
    if address:
        card["actions"] = [{"type": "Action.OpenUrl", "title": "Open alert", "url": address}]
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


def _alert(alert: AlertItem) -> dict[str, Any]:
    summary = alert.annotations.get("summary") or alert.labels.get("alertname", "alert")
    return {"type": "TextBlock", "text": f"[{alert.status}] {summary}", "wrap": True, "separator": True}
