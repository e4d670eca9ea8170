"""LLM-Incident-Manager over REST: one incident for a group of correlated alerts; created, updated and closed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx
import orjson

from sentinel.identity import stable_id
from sentinel.incidents import MAX_TEXT, MAX_TITLE, advice, affected, conditions_hold, rendered, tags
from services.dispatcher.errors import SendError
from services.dispatcher.events import plain
from services.dispatcher.http_post import Answer, post
from services.dispatcher.incident_book import Incident, IncidentBook
from services.dispatcher.notification import AlertItem, Notification, headline, shortened
from services.dispatcher.settings import IncidentSettings

PATH = "/api/v1/incidents"
_RANK = {"critical": 2, "warning": 1}


def body(settings: IncidentSettings, notification: Notification, action: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The incident as the specification writes it; `action` is the `config` of the definition's incident action, whose words count before the mapping's."""
    words = action or {}
    fields = {**settings.fields, **{field: words[key] for key, field in (("title", "title"), ("text", "description")) if words.get(key)}}
    shown = shortened(notification, alerts=50, value=2_000)
    worst = _worst(shown)
    labels = {**shown.common_labels, **worst.labels}
    values: dict[str, Any] = {**labels, **worst.annotations}
    title = worst.annotations.get("summary") or headline(notification)
    values |= {"title": title, "description": worst.annotations.get("description") or notification.text}
    context = {
        "anomaly": values,
        "alert": values,
        "commonLabels": shown.common_labels,
        "tenant_id": shown.tenant_id,
        "severity": shown.severity,
    }
    severity = str(words.get("severity") or settings.severity(shown.severity))
    score = values.get("score", "")
    metadata = {
        "anomaly_id": values.get("anomaly_id"),
        "detector_id": labels.get("detector_id"),
        "application_id": labels.get("application_id"),
        "score": float(score) if score.replace(".", "", 1).isdigit() else None,
        "timestamp": worst.starts_at,
        "tenant_id": shown.tenant_id,
        "alert_id": shown.alert_id,
        "firing": notification.firing,
    }
    entities = {(entity["type"], entity["id"]): entity for alert in shown.alerts for entity in affected(alert.labels)}
    return {
        "source": rendered(fields, "source", "llm-sentinel", context, 100),
        "incident_type": "anomaly_detected",
        "severity": severity,
        "title": plain(rendered(fields, "title", title, context, MAX_TITLE), MAX_TITLE),
        "description": rendered(fields, "description", str(values["description"]), context, MAX_TEXT),
        "metadata": {name: value for name, value in metadata.items() if value not in (None, "")},
        "affected_entities": list(entities.values()) or affected(labels),
        "remediation_actions": advice(labels),
        "tags": tags(fields, context),
    }


async def send(
    http: httpx.AsyncClient,
    settings: IncidentSettings,
    notification: Notification,
    book: IncidentBook,
    action: Mapping[str, Any] | None,
) -> str | None:
    """Creates, updates or closes the incident that the notification's group belongs to. Returns what was done; raises SendError.

    Without an incident, one is created when the definition has an incident action, or else when the conditions of `autoCreate` hold.
    """
    group = _group(notification)
    keys = frozenset({group, *_correlations(notification)})
    known = await book.find(notification.tenant_id, notification.receiver, keys)
    written = body(settings, notification, action)
    if known is None:
        if not notification.firing:
            return "no incident was open"
        if not _wanted(settings, notification, action):
            return "no incident: the conditions for creating one do not hold"
        ref = stable_id("incident", notification.notification_id)
        created = await _create(http, settings, written, ref)
        known = Incident(ref, created, frozenset(), frozenset())
        note = f"created {created}"
    else:
        note = await _change(http, settings, known, written, notification, closing=not notification.firing and known.firing <= {group})
        if note == "gone" and notification.firing:
            known = Incident(known.ref, await _create(http, settings, written, known.ref), known.keys, known.firing)
            note = f"created {known.incident_id} again"
    firing = known.firing | {group} if notification.firing else known.firing - {group}
    after = Incident(known.ref, known.incident_id, known.keys | keys, firing)
    await book.save(notification.tenant_id, notification.receiver, after, written["severity"], written["title"])
    return note


def _wanted(settings: IncidentSettings, notification: Notification, action: Mapping[str, Any] | None) -> bool:
    if action is not None:
        return bool(action.get("auto_create", True))
    firing = [alert for alert in notification.alerts if alert.status == "firing"]
    return any(
        conditions_hold(settings.conditions, {"severity": notification.severity, **alert.labels, **alert.annotations}) for alert in firing
    )


async def _create(http: httpx.AsyncClient, settings: IncidentSettings, written: dict[str, Any], ref: str) -> str:
    answer = await _call(http, settings, "POST", PATH, written, ref)
    if not answer.ok:
        raise answer.refusal()
    said = answer.json()
    found = (said.get("id") or said.get("incident_id")) if isinstance(said, dict) else None
    if not isinstance(found, str | int) or not str(found).isprintable():
        raise SendError(f"HTTP {answer.status}, and no id of an incident: {plain(answer.text, 300) or 'an empty body'}", retryable=True)
    return str(found)[:200]


async def _change(
    http: httpx.AsyncClient,
    settings: IncidentSettings,
    known: Incident,
    written: dict[str, Any],
    notification: Notification,
    *,
    closing: bool,
) -> str:
    changes = {name: written[name] for name in ("severity", "title", "description", "metadata", "affected_entities", "tags")}
    if closing:
        changes = {"status": "resolved", "resolution": "All alerts of this incident are over.", "metadata": written["metadata"]}
    elif not notification.firing:
        # One group of it is over, others are not: the incident goes on as they describe it.
        changes = {"status": "open", "metadata": written["metadata"]}
    else:
        changes["status"] = "open"
    ref = stable_id("incident-change", notification.notification_id)
    answer = await _call(http, settings, "PATCH", f"{PATH}/{quote(known.incident_id, safe='')}", changes, ref)
    if answer.status in (404, 410):
        return "gone"
    if not answer.ok:
        raise answer.refusal()
    return f"{'closed' if closing else 'updated'} {known.incident_id}"


async def _call(
    http: httpx.AsyncClient, settings: IncidentSettings, method: str, path: str, content: dict[str, Any], idempotency_key: str
) -> Answer:
    headers = {"Idempotency-Key": idempotency_key}
    if settings.api_key:
        headers["Authorization"] = f"Bearer {settings.api_key.get_secret_value()}"
    url = settings.endpoint.rstrip("/") + path
    return await post(http, url, orjson.dumps(content), timeout_s=settings.timeout_s, headers=headers, method=method)


def _worst(notification: Notification) -> AlertItem:
    """The alert that the incident is told by: firing before over, then by severity, then the earliest."""
    if not notification.alerts:
        labels = notification.common_labels
        return AlertItem(
            status=notification.status, labels=labels, annotations=notification.common_annotations, starts_at=notification.created_at
        )
    return min(
        notification.alerts,
        key=lambda alert: (alert.status != "firing", -_RANK.get(alert.labels.get("severity", ""), 0), alert.starts_at),
    )


def _group(notification: Notification) -> str:
    return "group:" + hashlib.sha256(notification.group_key.encode()).hexdigest()


def _correlations(notification: Notification) -> set[str]:
    found = (alert.annotations.get("correlation_group", "") for alert in notification.alerts)
    return {f"correlation:{group}" for group in found if group}
