"""A receiver's settings out of the configuration, with its secrets filled in from the environment or files.

Secrets are read at each use, so that a rotated file counts from the next notification on; they never enter a record, a
log line or the ledger.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, AliasGenerator, BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic.alias_generators import to_camel

from sentinel.config.units import parse_duration
from sentinel.incidents import SEVERITIES
from services.dispatcher.delivery import RetryPolicy
from services.dispatcher.errors import SendError

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class _Settings(BaseModel):
    # The specification writes keys in camel case, Alertmanager in snake case: both are known.
    model_config = ConfigDict(
        alias_generator=AliasGenerator(validation_alias=to_camel), populate_by_name=True, extra="ignore", hide_input_in_errors=True
    )


def _http(url: SecretStr) -> SecretStr:
    if not re.match(r"https?://[^\s/]+", url.get_secret_value()):
        raise ValueError("expected an address that begins with http:// or https://")
    return url


HttpUrl = Annotated[SecretStr, AfterValidator(_http)]
"""An address that may hold a token, and is therefore never shown."""


class WebhookSettings(_Settings):
    """Where and how a webhook is called. `max_alerts` 0 sends all alerts of a group."""

    url: HttpUrl
    bearer_token: SecretStr | None = None
    signing_secret: SecretStr | None = None
    username: str | None = None
    password: SecretStr | None = None
    headers: dict[str, SecretStr] = {}
    max_alerts: int = Field(default=0, ge=0)
    timeout_s: float = Field(default=10.0, gt=0, le=10)

    def secrets(self) -> list[str]:
        """What must not appear in an error text: the URL too, since it often holds a token."""
        values = [self.url, self.bearer_token, self.signing_secret, self.password, *self.headers.values()]
        return [value.get_secret_value() for value in values if value is not None]


class EmailSettings(_Settings):
    """An SMTP relay and the addresses. `smarthost` is host:port; port 465 means TLS from the first byte."""

    smarthost: str = Field(pattern=r"^.+:\d{1,5}$")
    sender: str = Field(validation_alias="from", pattern="@")
    to: list[str] = Field(min_length=1)
    hello: str = "localhost"
    auth_username: str | None = None
    auth_password: SecretStr | None = None
    require_tls: bool = True
    timeout_s: float = Field(default=30.0, gt=0, le=60)

    @field_validator("to", mode="before")
    @classmethod
    def _addresses(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @property
    def host(self) -> str:
        return self.smarthost.rsplit(":", 1)[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.smarthost.rsplit(":", 1)[1])

    def secrets(self) -> list[str]:
        """What must not appear in an error text."""
        return [self.auth_password.get_secret_value()] if self.auth_password else []


class SlackSettings(_Settings):
    """An incoming webhook."""

    webhook_url: HttpUrl
    channel: str | None = None
    username: str | None = None
    timeout_s: float = Field(default=10.0, gt=0, le=10)

    def secrets(self) -> list[str]:
        """What must not appear in an error text."""
        return [self.webhook_url.get_secret_value()]


class TeamsSettings(_Settings):
    """A Workflows webhook of Microsoft Teams."""

    webhook_url: HttpUrl
    timeout_s: float = Field(default=10.0, gt=0, le=10)

    def secrets(self) -> list[str]:
        """What must not appear in an error text."""
        return [self.webhook_url.get_secret_value()]


class PagerDutySettings(_Settings):
    """An integration of Events API v2; `routing_key` is another name of `service_key`."""

    service_key: SecretStr | None = None
    routing_key: SecretStr | None = None
    url: str = Field(default="https://events.pagerduty.com/v2/enqueue", pattern=r"^https?://[^\s/]+")
    timeout_s: float = Field(default=10.0, gt=0, le=10)

    @property
    def key(self) -> SecretStr:
        """The integration key."""
        return self.service_key or self.routing_key or SecretStr("")

    def secrets(self) -> list[str]:
        """What must not appear in an error text."""
        return [self.key.get_secret_value()]


class AppriseSettings(_Settings):
    """Any service that apprise knows, by its URL."""

    url: SecretStr
    timeout_s: float = Field(default=10.0, gt=0, le=10)

    def secrets(self) -> list[str]:
        """What must not appear in an error text: plug-ins name parts of the URL."""
        whole = self.url.get_secret_value()
        parts = re.split(r"[:/@?&=]+", whole)[1:]
        return [whole, *sorted((part for part in parts if len(part) >= 6), key=len, reverse=True)]


class AutoCreate(_Settings):
    """When an incident is created without anybody asking; see `sentinel.incidents`."""

    conditions: list[dict[str, str | float]] = []


class IncidentMapping(_Settings):
    """Severities and templates."""

    severity: dict[str, str] = {}
    fields: dict[str, str | list[str]] = {}


class IncidentSettings(_Settings):
    """The Incident Manager: `integrations.incidentManager`, with what the receiver says otherwise."""

    endpoint: str = Field(pattern=r"^https?://[^\s/]+")
    api_key: SecretStr | None = None
    auto_create: AutoCreate | None = None
    mapping: IncidentMapping = IncidentMapping()
    timeout_s: float = Field(default=10.0, gt=0, le=10)

    @property
    def conditions(self) -> list[dict[str, str | float]]:
        """All must hold for an incident that no definition asks for."""
        return self.auto_create.conditions if self.auto_create else []

    @property
    def fields(self) -> dict[str, str | list[str]]:
        """Templates by field."""
        return self.mapping.fields

    def severity(self, of_alert: str) -> str:
        """P1 … of critical, warning, info."""
        return self.mapping.severity.get(of_alert) or SEVERITIES.get(of_alert, "P2")

    def secrets(self) -> list[str]:
        """What must not appear in an error text."""
        return [self.api_key.get_secret_value()] if self.api_key else []


Settings = WebhookSettings | EmailSettings | SlackSettings | TeamsSettings | PagerDutySettings | AppriseSettings | IncidentSettings
TYPES: dict[str, type[Settings]] = {
    "webhook": WebhookSettings,
    "email": EmailSettings,
    "slack": SlackSettings,
    "teams": TeamsSettings,
    "pagerduty": PagerDutySettings,
    "apprise": AppriseSettings,
    "incident": IncidentSettings,
}


PER_MINUTE = {"slack": 60, "pagerduty": 120, "teams": 120}
"""Messages that a receiver of the type gets in a minute unless its configuration says otherwise (what the services publish); else no limit."""


def per_minute(config: dict[str, Any], name: str) -> int:
    """The rate limit of a receiver; 0 means none."""
    found = _entry(config, name) or {}
    given = (found.get("config") or {}).get("maxPerMinute")
    return int(given) if given is not None else PER_MINUTE.get(str(found.get("type")), 0)


def _entry(config: dict[str, Any], name: str) -> dict[str, Any] | None:
    receivers = (config.get("alerting") or {}).get("receivers") or []
    return next((entry for entry in receivers if entry.get("name") == name), None)


def receiver_settings(config: dict[str, Any], name: str, version: int) -> Settings:
    """The settings of one receiver out of the effective configuration.

    Raises SendError: retryable when the configuration does not have the receiver (it may be older than the
    notification), else when its type has no sender, a setting is wrong, or a secret is missing.
    """
    found = _entry(config, name)
    if found is None:
        raise SendError(f"receiver {name!r} is not in configuration version {version}", retryable=True)
    kind = found.get("type")
    if kind not in TYPES:
        raise SendError(f"receiver {name!r} has type {kind!r}: expected one of {', '.join(TYPES)}", retryable=False)
    given = with_secrets(_base(config, kind) | (found.get("config") or {}), name)
    try:
        return TYPES[kind].model_validate(given)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False, include_url=False))
        raise SendError(f"receiver {name!r}: {problems}", retryable=False) from None


def _base(config: dict[str, Any], kind: str) -> dict[str, Any]:
    """What a receiver of the type has from another part of the configuration."""
    manager = (config.get("integrations") or {}).get("incidentManager") or {}
    return {name: value for name, value in manager.items() if name != "enabled"} if kind == "incident" else {}


def definition_action(config: dict[str, Any], definition_id: str, kind: str) -> dict[str, Any] | None:
    """The `config` of an alert definition's first action of the type; None when it has none."""
    definitions = (config.get("alerting") or {}).get("definitions") or []
    actions = [action for entry in definitions if entry.get("alert_id") == definition_id for action in entry.get("actions", [])]
    return next((dict(action.get("config") or {}) for action in actions if action.get("type") == kind), None)


def with_secrets(value: Any, name: str) -> Any:
    """Fills `${NAME}` from the environment, and `key` from the file that `key_file` names, at any depth. Raises SendError naming the receiver."""
    if isinstance(value, str):
        return _VARIABLE.sub(lambda match: _variable(match[1], name), value)
    if isinstance(value, list):
        return [with_secrets(item, name) for item in value]
    if not isinstance(value, dict):
        return value
    filled: dict[str, Any] = {}
    for key, item in value.items():
        suffix = next((end for end in ("_file", "File") if key.endswith(end)), None)
        if suffix and isinstance(item, str):
            filled[key.removesuffix(suffix)] = _secret_file(with_secrets(item, name), name)
        elif item is not None:
            filled[key] = with_secrets(item, name)
    return filled


def _variable(variable: str, name: str) -> str:
    found = os.environ.get(variable)
    if found is None:
        raise SendError(f"receiver {name!r}: environment variable {variable} is not set", retryable=False)
    return found


def _secret_file(path: str, name: str) -> str:
    try:
        return Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise SendError(f"receiver {name!r}: cannot read secret file {path}: {reason}", retryable=False) from None


def notification_policy(config: dict[str, Any]) -> RetryPolicy:
    """How notifications are retried: `retry.alertNotification` of the configuration."""
    return _policy((config.get("retry") or {}).get("alertNotification") or {}, RetryPolicy())


def shield_policy(config: dict[str, Any]) -> RetryPolicy:
    """How Shield is asked again: `retry.shieldAction`, else `integrations.shield.retries` attempts, 0.5 s to 5 s apart."""
    shield = (config.get("integrations") or {}).get("shield") or {}
    usual = RetryPolicy(attempts=max(1, shield.get("retries", 3)), wait_initial_s=0.5, wait_max_s=5.0, jitter_s=0.25)
    return _policy((config.get("retry") or {}).get("shieldAction") or {}, usual)


def _policy(given: dict[str, Any], usual: RetryPolicy) -> RetryPolicy:
    if given.get("enabled") is False:
        return replace(usual, attempts=1)
    return replace(
        usual,
        attempts=given.get("maxAttempts", usual.attempts),
        wait_initial_s=parse_duration(given.get("initialBackoff", usual.wait_initial_s)),
        wait_max_s=parse_duration(given.get("maxBackoff", usual.wait_max_s)),
        multiplier=given.get("backoffMultiplier", usual.multiplier),
    )
