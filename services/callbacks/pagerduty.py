"""PagerDuty's v3 webhooks: signature, and what an event asks for."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from typing import Any

import msgspec

from sentinel.identity import stable_id

SIGNATURE_HEADER = b"x-pagerduty-signature"
ACTIONS = {"incident.acknowledged": "ack", "incident.unacknowledged": "unack", "incident.resolved": "resolve"}
"""Event type → action on the alert. Everything else is accepted and asks for nothing."""
_SIGNATURE = re.compile(r"v1=([0-9a-fA-F]{64})")
_MAX_SIGNATURES = 10
_HEX = re.compile(r"[0-9a-f]{64}")


class Agent(msgspec.Struct):
    """Who did it."""

    type: str = ""
    summary: str = ""


class Incident(msgspec.Struct):
    """The incident; `incident_key` is our `dedup_key`."""

    incident_key: str = ""
    html_url: str = ""


class Event(msgspec.Struct):
    """One event of a webhook."""

    id: str
    event_type: str
    occurred_at: str = ""
    agent: Agent | None = None
    data: Any = None


class _Envelope(msgspec.Struct):
    event: Event


_decoder = msgspec.json.Decoder(_Envelope)


class Wish(msgspec.Struct, frozen=True):
    """What somebody did at PagerDuty, for the alert whose `dedup_key` it is."""

    control_id: str
    action: str
    dedup_key: str
    by: str
    comment: str


def signed_by(body: bytes, header: str, secrets: Iterable[tuple[str, str]]) -> str | None:
    """The receiver whose secret made one of the signatures (`v1=<hex of HMAC-SHA256>`, several while secrets are changed); None when no one did."""
    given = [found.lower() for found in _SIGNATURE.findall(header)[:_MAX_SIGNATURES]]
    for receiver, secret in secrets:
        wanted = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        if any(hmac.compare_digest(wanted, signature) for signature in given):
            return receiver
    return None


def wish(body: bytes) -> Wish | None:
    """What the webhook asks for, None when that is nothing. Raises ValueError naming the JSON path when it is no webhook of version 3.

    A resolve that no person did is the echo of our own.
    """
    try:
        event = _decoder.decode(body).event
        action = ACTIONS.get(event.event_type)
        if action is None:
            return None
        incident = msgspec.convert(event.data, Incident)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"not a v3 webhook of PagerDuty: {error}") from None
    agent = event.agent or Agent()
    if not _HEX.fullmatch(incident.incident_key) or (action == "resolve" and agent.type != "user_reference"):
        return None
    by = "".join(character for character in f"PagerDuty: {agent.summary or 'somebody'}" if character.isprintable())
    url = incident.html_url if incident.html_url.startswith("https://") else ""
    return Wish(stable_id("pagerduty", event.id), action, incident.incident_key, by[:200], url[:500])
