"""Slack's incoming webhooks: Block Kit within its published limits."""

from __future__ import annotations

from typing import Any

import httpx
import orjson

from services.dispatcher.errors import SendError
from services.dispatcher.events import plain
from services.dispatcher.http_post import post
from services.dispatcher.notification import AlertItem, Notification, headline, link, shortened
from services.dispatcher.settings import SlackSettings

MAX_HEADER, MAX_TEXT, MAX_FIELDS, MAX_FIELD, MAX_URL = 150, 3_000, 10, 2_000, 3_000
MAX_ALERTS = 20
"""With the blocks around them a message stays below Slack's 50 blocks."""
_OWN_ERROR = frozenset("abcdefghijklmnopqrstuvwxyz_")


def message(notification: Notification, settings: SlackSettings | None = None) -> dict[str, Any]:
    """The message: `text` for notification banners, `blocks` for the channel. `channel` and `username` count with legacy webhooks only."""
    shown = shortened(notification, alerts=MAX_ALERTS, value=1_000)
    title = headline(notification)
    blocks: list[dict[str, Any]] = [{"type": "header", "text": {"type": "plain_text", "text": _cut(title, MAX_HEADER), "emoji": True}}]
    if shown.text:
        blocks.append(_section(shown.text))
    fields = [f"*{_escaped(name, 200)}*\n{_escaped(value, 1_700)}" for name, value in shown.common_labels.items() if value]
    if fields:
        blocks.append({"type": "section", "fields": [{"type": "mrkdwn", "text": field} for field in fields[:MAX_FIELDS]]})
    blocks += [_section(_alert(alert, shown.common_labels)) for alert in shown.alerts if len(notification.alerts) > 1]
    left_out = len(notification.alerts) - len(shown.alerts)
    if left_out:
        blocks.append(_context(f"and {left_out:,} more"))
    address = link(notification)
    if address and len(address) <= MAX_URL:
        button = {"type": "button", "text": {"type": "plain_text", "text": "Open alert"}, "url": address}
        blocks.append({"type": "actions", "elements": [button]})
    blocks.append(_context(f"tenant {notification.tenant_id or '-'} · notification {notification.notification_id}"))
    result: dict[str, Any] = {"text": _escaped(title, MAX_TEXT), "blocks": blocks}
    if settings and settings.channel:
        result["channel"] = settings.channel
    if settings and settings.username:
        result["username"] = settings.username
    return result


async def send(http: httpx.AsyncClient, settings: SlackSettings, notification: Notification) -> str | None:
    """Posts one message. Acceptance is status 200 with the body `ok` and nothing else. Raises SendError otherwise."""
    body = orjson.dumps(message(notification, settings))
    answer = await post(http, settings.webhook_url.get_secret_value(), body, timeout_s=settings.timeout_s)
    if answer.status == 200 and answer.text == "ok":
        return None
    if answer.status != 200:
        raise answer.refusal()
    # Slack's own errors are words such as invalid_payload; a page of a proxy in between may be gone the next time.
    own = bool(answer.text) and len(answer.text) <= 60 and _OWN_ERROR.issuperset(answer.text)
    raise SendError(f"HTTP 200, and not ok: {plain(answer.text, 300) or 'an empty body'}", retryable=not own)


def _alert(alert: AlertItem, common: dict[str, str]) -> str:
    """One alert: its state and summary, and what sets it apart from the others."""
    summary = alert.annotations.get("summary") or alert.annotations.get("description") or alert.labels.get("alertname", "alert")
    own = [f"{name}={value}" for name, value in alert.labels.items() if common.get(name) != value]
    return f"[{alert.status}] {summary}\n{', '.join(own)}".strip()


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": _escaped(text, MAX_TEXT)}}


def _context(text: str) -> dict[str, Any]:
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": _escaped(text, MAX_FIELD)}]}


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _escaped(text: str, limit: int) -> str:
    """Slack's three control characters as entities, cut so that the result fits and no entity is torn."""
    kept = limit
    while True:
        escaped = _cut(text, kept).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        if len(escaped) <= limit:
            return escaped
        kept -= max(1, (len(escaped) - limit) // 5)
