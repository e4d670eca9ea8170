"""Alertmanager's receivers: each of their integrations becomes a receiver of ours; secrets become references."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

SENDS_RESOLVED: Final = {
    "webhook": True,
    "email": False,
    "pagerduty": True,
    "opsgenie": True,
    "wechat": False,
    "slack": False,
    "victorops": True,
    "pushover": True,
    "sns": True,
    "telegram": True,
    "discord": True,
    "webex": True,
    "msteams": True,
    "msteamsv2": True,
    "jira": True,
    "incidentio": True,
    "rocketchat": False,
    "mattermost": True,
}
"""Alertmanager's kinds of integrations, in the order in which it numbers them, and whether they hear of the end by default."""

_KEYS: Final[dict[str, dict[str, str]]] = {
    "webhook": {"url": "url", "url_file": "urlFile", "max_alerts": "maxAlerts"},
    "email": {
        "to": "to",
        "from": "from",
        "smarthost": "smarthost",
        "hello": "hello",
        "auth_username": "authUsername",
        "auth_password": "authPassword",
        "auth_password_file": "authPasswordFile",
        "require_tls": "requireTls",
    },
    "slack": {"api_url": "webhookUrl", "api_url_file": "webhookUrlFile", "channel": "channel", "username": "username"},
    "pagerduty": {
        "routing_key": "routingKey",
        "routing_key_file": "routingKeyFile",
        "service_key": "serviceKey",
        "service_key_file": "serviceKeyFile",
        "url": "url",
    },
    "msteams": {"webhook_url": "webhookUrl", "webhook_url_file": "webhookUrlFile"},
    "msteamsv2": {"webhook_url": "webhookUrl", "webhook_url_file": "webhookUrlFile"},
}
_TYPES: Final = {"msteams": "teams", "msteamsv2": "teams"}
"""Kinds that have another name here."""

_APPRISE: Final = {
    "opsgenie": "opsgenie://API_KEY",
    "victorops": "splunk://ROUTING_KEY@API_KEY",
    "pushover": "pover://USER_KEY@TOKEN",
    "sns": "sns://ACCESS_KEY/SECRET_KEY/REGION/TOPIC",
    "telegram": "tgram://BOT_TOKEN/CHAT_ID",
    "discord": "discord://WEBHOOK_ID/WEBHOOK_TOKEN",
    "webex": "wxteams://WEBHOOK_TOKEN",
    "rocketchat": "rockets://USER:PASSWORD@HOST/#CHANNEL",
    "mattermost": "mmosts://HOST/WEBHOOK_TOKEN",
}
"""Kinds that apprise tells, and the URL that has to lie in the secret: it holds credentials, so it is not written into the file."""

_SECRETS: Final = frozenset({"authPassword", "webhookUrl", "routingKey", "serviceKey"})
_GLOBAL: Final = {
    "email": {
        "from": "smtp_from",
        "smarthost": "smtp_smarthost",
        "hello": "smtp_hello",
        "auth_username": "smtp_auth_username",
        "auth_password": "smtp_auth_password",
        "auth_password_file": "smtp_auth_password_file",
        "require_tls": "smtp_require_tls",
    },
    "slack": {"api_url": "slack_api_url", "api_url_file": "slack_api_url_file"},
    "pagerduty": {"url": "pagerduty_url"},
}


@dataclass
class ImportedReceivers:
    """Receivers and groups of receivers for our configuration.

    Attributes:
        all: for trials, every integration by the receiver's own name, those without a counterpart too: (type, whether it hears of the end).
        names: Alertmanager's receiver names, as routes use them.
    """

    receivers: list[dict[str, Any]] = field(default_factory=list)
    groups: list[dict[str, Any]] = field(default_factory=list)
    all: dict[str, list[tuple[str, bool]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)


def import_receivers(items: list[dict[str, Any]], defaults: dict[str, Any]) -> ImportedReceivers:
    """All receivers; `defaults` is Alertmanager's section `global`."""
    result, used = ImportedReceivers(), set[str]()
    for item in items:
        name = str(item.get("name", ""))
        members = _members(name, item, defaults, result, used)
        if len(members) == 1 and members[0]["name"] == name and len(result.all[name]) == 1:
            result.receivers += members
            continue
        result.receivers += members
        if members and any(member["name"] == name for member in members):
            for member in members:
                if member["name"] == name:
                    used.discard(name)
                    member["name"] = _free(f"{name}-1", used)
        result.groups.append({"name": name, "receivers": [member["name"] for member in members]})
    return result


def _members(name: str, item: dict[str, Any], defaults: dict[str, Any], result: ImportedReceivers, used: set[str]) -> list[dict[str, Any]]:
    members = []
    integrations = result.all.setdefault(name, [])
    for kind, sends in SENDS_RESOLVED.items():
        for settings in item.get(f"{kind}_configs") or []:
            settings = settings or {}
            resolved = bool(settings.get("send_resolved", sends))
            integrations.append((kind, resolved))
            place = f"receiver {name}: {kind}_configs"
            if kind in _APPRISE:
                free = _free(_plain(name), used)
                members.append(
                    {"name": free, "type": "apprise", "sendResolved": resolved, "config": {"url": _by_apprise(free, kind, result)}}
                )
                result.notes.append(f"{place}: told by apprise: title and text alone, settings other than the address have no counterpart")
                continue
            if kind not in _KEYS:
                result.notes.append(f"{place}: this kind of receiver has no counterpart; nobody is told by it")
                continue
            free = _free(_plain(name), used)
            config = _settings(free, kind, settings, defaults, place, result)
            members.append({"name": free, "type": _TYPES.get(kind, kind), "sendResolved": resolved, "config": config})
    known = {"name", *(f"{kind}_configs" for kind in SENDS_RESOLVED)}
    result.notes += [f"receiver {name}: {key} has no counterpart" for key in item if key not in known]
    return members


def _settings(
    name: str, kind: str, settings: dict[str, Any], defaults: dict[str, Any], place: str, result: ImportedReceivers
) -> dict[str, Any]:
    given = {key: defaults[source] for key, source in _GLOBAL.get(kind, {}).items() if source in defaults} | settings
    if any(f"{key}_file" in settings for key in ("api_url", "routing_key", "service_key", "auth_password", "webhook_url")):
        given = {key: value for key, value in given.items() if f"{key}_file" not in settings}
    config: dict[str, Any] = {}
    for key, value in given.items():
        target = _KEYS[kind].get(key)
        if target is None:
            if key not in ("send_resolved", "http_config"):
                result.notes.append(f"{place}: {key} has no counterpart")
        elif target in _SECRETS or (target == "url" and urlsplit(str(value)).password):
            config[target] = _reference(name, target, result)
        else:
            config[target] = value
    if kind == "webhook":
        _credentials(name, settings.get("http_config") or {}, config, place, result)
    elif settings.get("http_config"):
        result.notes.append(f"{place}: http_config has no counterpart")
    if kind == "pagerduty" and "routingKey" in config:
        config.pop("serviceKey", None)
    return config


def _credentials(name: str, http: dict[str, Any], config: dict[str, Any], place: str, result: ImportedReceivers) -> None:
    for key, value in http.items():
        if key == "basic_auth" and isinstance(value, dict):
            config["username"] = value.get("username")
            if "password_file" in value:
                config["passwordFile"] = value["password_file"]
            else:
                config["password"] = _reference(name, "password", result)
        elif key == "authorization" and isinstance(value, dict) and str(value.get("type", "Bearer")).lower() == "bearer":
            if "credentials_file" in value:
                config["bearerTokenFile"] = value["credentials_file"]
            else:
                config["bearerToken"] = _reference(name, "bearerToken", result)
        else:
            result.notes.append(f"{place}: http_config.{key} has no counterpart")


def _by_apprise(name: str, kind: str, result: ImportedReceivers) -> str:
    reference = _reference(name, "url", result)
    result.secrets[-1] += f" as apprise takes it: {_APPRISE[kind]}"
    return reference


def unused_defaults(defaults: dict[str, Any]) -> list[str]:
    """Keys of `global` that nothing here takes up; addresses and keys of services that apprise tells are part of its URL."""
    known = {"resolve_timeout", *(source for keys in _GLOBAL.values() for source in keys.values())}
    return [key for key in defaults if key not in known and key.split("_")[0] not in _APPRISE]


def _reference(name: str, key: str, result: ImportedReceivers) -> str:
    words = f"{name}_{re.sub('[A-Z]', lambda capital: '_' + capital[0], key)}"
    variable = re.sub(r"[^A-Z0-9]+", "_", words.upper()).strip("_")
    variable = variable if variable[0].isalpha() else f"R_{variable}"
    result.secrets.append(variable)
    return f"${{{variable}}}"


def _plain(name: str) -> str:
    """The nearest name that a topic may have."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")[:180]
    return plain or "receiver"


def _free(name: str, used: set[str]) -> str:
    number, free = 1, name
    while free in used:
        number += 1
        free = f"{name}-{number}"
    used.add(free)
    return free
