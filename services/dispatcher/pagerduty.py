"""PagerDuty Events API v2: trigger, acknowledge and resolve, one incident a group by `dedup_key`."""

from __future__ import annotations

import hashlib
from typing import Any

import httpx
import orjson

from services.dispatcher.errors import SendError
from services.dispatcher.events import plain
from services.dispatcher.http_post import post
from services.dispatcher.notification import AlertItem, Notification, headline, link, shortened
from services.dispatcher.settings import PagerDutySettings

MAX_EVENT_BYTES = 512_000
MAX_SUMMARY = 1_024
MAX_VALUE = 20_000
_SEVERITIES = frozenset({"critical", "error", "warning", "info"})


def dedup_key(notification: Notification) -> str:
    """What makes events one incident: a hash of tenant, receiver and group. PagerDuty's webhooks hand it back as `incident_key`."""
    return hashlib.sha256(f"{notification.tenant_id}\n{notification.receiver}\n{notification.group_key}".encode()).hexdigest()


def event(notification: Notification, routing_key: str) -> dict[str, Any]:
    """The event. `custom_details` are left out when the whole would be longer than PagerDuty takes."""
    resolved = notification.status == "resolved" and not notification.firing
    action = "resolve" if resolved else "acknowledge" if notification.status == "acknowledged" else "trigger"
    labels = notification.common_labels
    address = link(notification)
    payload: dict[str, Any] = {
        "summary": plain(headline(notification), MAX_SUMMARY),
        "source": plain(labels.get("application_id") or notification.tenant_id or "llm-sentinel", MAX_SUMMARY),
        "severity": notification.severity if notification.severity in _SEVERITIES else "error",
        "component": plain(labels.get("model", ""), MAX_SUMMARY),
        "group": plain(notification.tenant_id, MAX_SUMMARY),
        "class": plain(labels.get("detector_id", ""), MAX_SUMMARY),
        "timestamp": notification.created_at,
        "custom_details": _details(shortened(notification, alerts=200, value=MAX_VALUE), len(notification.alerts)),
    }
    whole: dict[str, Any] = {
        "routing_key": routing_key,
        "event_action": action,
        "dedup_key": dedup_key(notification),
        "client": "LLM-Sentinel",
        "payload": {name: value for name, value in payload.items() if value},
    }
    if address:
        whole |= {"client_url": address, "links": [{"href": address, "text": "Alert in LLM-Sentinel"}]}
    size = len(orjson.dumps(whole))
    if size > MAX_EVENT_BYTES:
        whole["payload"]["custom_details"] = {"error": f"left out: the event of {size} bytes was longer than {MAX_EVENT_BYTES}"}
    return whole


async def send(http: httpx.AsyncClient, settings: PagerDutySettings, notification: Notification) -> str | None:
    """Sends one event. Acceptance is status 202 with `{"status": "success"}`; sending it again does no harm. Raises SendError otherwise."""
    body = orjson.dumps(event(notification, settings.key.get_secret_value()))
    answer = await post(http, settings.url, body, timeout_s=settings.timeout_s)
    said = answer.json()
    if answer.status == 202 and isinstance(said, dict) and said.get("status") == "success":
        return None
    if not answer.ok:
        raise answer.refusal()
    raise SendError(f"HTTP {answer.status}, and not an acceptance: {plain(answer.text, 300) or 'an empty body'}", retryable=True)


def _details(notification: Notification, alerts: int) -> dict[str, Any]:
    return {
        "text": notification.text,
        "labels": notification.common_labels,
        "annotations": notification.common_annotations,
        "num_firing": notification.firing,
        "num_alerts": alerts,
        "firing": [_alert(alert) for alert in notification.alerts if alert.status == "firing"],
        "resolved": [_alert(alert) for alert in notification.alerts if alert.status != "firing"],
        "notification_id": notification.notification_id,
    }


def _alert(alert: AlertItem) -> dict[str, Any]:
    return {"labels": alert.labels, "annotations": alert.annotations, "starts_at": alert.starts_at, "ends_at": alert.ends_at}
