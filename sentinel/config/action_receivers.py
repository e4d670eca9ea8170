"""Webhook actions with an address of their own: each becomes a receiver, so that ledger, retries, breaker and secrets are those of every receiver."""

from __future__ import annotations

import re
from typing import Any

from sentinel.config.canonical import Path, canonical_keys
from sentinel.config.receivers import WebhookConfig
from sentinel.identity import stable_id

_KEYS_OF_ACTION = frozenset({"receivers", "sendResolved", "send_resolved"})
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


def receiver_name(definition_id: str, number: int) -> str:
    """The name of the receiver that the action at this place of a definition becomes."""
    plain = _NOT_IN_NAMES.sub("-", definition_id)[:100]
    different = plain != definition_id
    return f"webhook-{plain}" + (f"-{stable_id(definition_id)[:8]}" if different else "") + (f"-{number}" if number else "")


def with_webhook_receivers(alerting: dict[str, Any]) -> tuple[dict[str, Any], dict[Path, Path]]:
    """Section `alerting` whose webhook actions name receivers, and where the settings of each new receiver were written.

    What is not shaped as it should be is left alone, for the model to refuse.
    """
    receivers, definitions = alerting.get("receivers"), alerting.get("definitions")
    if not isinstance(receivers, list) or not isinstance(definitions, list):
        return alerting, {}
    made: list[dict[str, Any]] = []
    places: dict[Path, Path] = {}
    changed = []
    for number, definition in enumerate(definitions):
        actions = definition.get("actions") if isinstance(definition, dict) else None
        if not isinstance(actions, list) or not isinstance(definition.get("alert_id"), str):
            changed.append(definition)
            continue
        own = []
        for position, action in enumerate(actions):
            config = action.get("config") if isinstance(action, dict) and action.get("type") == "webhook" else None
            if not isinstance(config, dict) or not set(config) - _KEYS_OF_ACTION:
                own.append(action)
                continue
            name = receiver_name(definition["alert_id"], position)
            settings = {key: value for key, value in config.items() if key not in _KEYS_OF_ACTION}
            receiver: dict[str, Any] = {"name": name, "type": "webhook", "config": canonical_keys(settings, WebhookConfig)}
            for key in ("send_resolved", "sendResolved"):
                if key in config:
                    receiver["sendResolved"] = config[key]
            places["alerting", "receivers", len(receivers) + len(made)] = ("alerting", "definitions", number, "actions", position)
            made.append(receiver)
            own.append({"type": "webhook", "config": {"receivers": [*(config.get("receivers") or []), name]}})
        changed.append(definition | {"actions": own})
    return alerting | {"receivers": [*receivers, *made], "definitions": changed}, places
