"""Receivers: who is told, and how. Secrets are references (`${NAME}`) or files (`…File`), never plain text."""

from __future__ import annotations

from typing import Annotated, Any, Final, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SerializeAsAny, ValidationInfo, WithJsonSchema, field_validator, model_validator
from pydantic_core import PydanticCustomError

from sentinel.config.types import ConfigModel, Name, Secret


def _url(value: Any) -> Any:
    if isinstance(value, str) and not value.startswith("${"):
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise PydanticCustomError("url", "expected an http:// or https:// address or a reference ${NAME}")
        if parts.password:
            raise PydanticCustomError("literal_secret", "expected an address without a password; use a reference ${NAME}")
    return value


Url = Annotated[str, BeforeValidator(_url)]


class _Sender(ConfigModel):
    timeout_s: float = Field(default=10.0, gt=0, le=10, description="Seconds for one attempt")
    max_per_minute: int | None = Field(default=None, ge=0, description="Most messages a minute, further ones wait; 0 = no limit")

    def _exactly_one(self, *names: str) -> None:
        given = [name for name in names if getattr(self, name) is not None]
        if len(given) != 1:
            wanted = " or ".join(str(type(self).model_fields[name].alias) for name in names)
            raise ValueError(f"expected exactly one of {wanted}")


class WebhookConfig(_Sender):
    """Posts Alertmanager v4 JSON; with a signing secret as Standard Webhooks sign."""

    url: Url | None = None
    url_file: str | None = None
    headers: dict[str, str] = Field(default={})
    bearer_token: Secret | None = None
    bearer_token_file: str | None = None
    signing_secret: Secret | None = None
    signing_secret_file: str | None = None
    username: str | None = None
    password: Secret | None = None
    password_file: str | None = None
    max_alerts: int = Field(default=0, ge=0, description="Most alerts in one message; 0 = all")

    @model_validator(mode="after")
    def _address(self) -> Self:
        self._exactly_one("url", "url_file")
        return self

    @field_validator("headers")
    @classmethod
    def _no_plain_credentials(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if name.lower() in ("authorization", "x-api-key", "cookie") and "${" not in value:
                raise PydanticCustomError("literal_secret", "expected header {name} to hold a reference ${NAME}", {"name": name})
        return headers


def _addresses(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


class EmailConfig(_Sender):
    """Sends over SMTP."""

    to: Annotated[list[str], BeforeValidator(_addresses)] = Field(min_length=1)
    from_: str = Field(default="sentinel@localhost", alias="from", pattern="@")
    smarthost: str = Field(pattern=r"^.+:[0-9]{1,5}$", description="host:port; port 465 means TLS from the first byte")
    hello: str = "localhost"
    auth_username: str | None = None
    auth_password: Secret | None = None
    auth_password_file: str | None = None
    require_tls: bool = True

    @field_validator("to")
    @classmethod
    def _mail_addresses(cls, to: list[str]) -> list[str]:
        for address in to:
            if "@" not in address.strip("@") and "${" not in address:
                raise ValueError(f"expected a mail address, found {address!r}")
        return to


class SlackConfig(_Sender):
    """Posts to an incoming webhook."""

    webhook_url: Secret | None = None
    webhook_url_file: str | None = None
    channel: str | None = None
    username: str | None = None

    @model_validator(mode="after")
    def _address(self) -> Self:
        self._exactly_one("webhook_url", "webhook_url_file")
        return self


class PagerDutyConfig(_Sender):
    """Sends Events API v2 events; `routingKey` is another name of `serviceKey`."""

    service_key: Secret | None = None
    service_key_file: str | None = None
    routing_key: Secret | None = None
    routing_key_file: str | None = None
    webhook_secret: Secret | None = Field(default=None, description="Of PagerDuty's v3 webhooks, by which acknowledgements come back")
    webhook_secret_file: str | None = None
    url: Url = "https://events.pagerduty.com/v2/enqueue"

    @model_validator(mode="after")
    def _key(self) -> Self:
        self._exactly_one("service_key", "service_key_file", "routing_key", "routing_key_file")
        return self


class TeamsConfig(_Sender):
    """Posts an Adaptive Card to a Workflows webhook of Microsoft Teams."""

    webhook_url: Secret | None = None
    webhook_url_file: str | None = None

    @model_validator(mode="after")
    def _address(self) -> Self:
        self._exactly_one("webhook_url", "webhook_url_file")
        return self


class AppriseConfig(_Sender):
    """Sends by `apprise` to any service that it knows; its URL holds the credentials."""

    url: Secret | None = None
    url_file: str | None = None

    @model_validator(mode="after")
    def _address(self) -> Self:
        self._exactly_one("url", "url_file")
        return self


class IncidentConfig(_Sender):
    """Creates, updates and closes incidents at `integrations.incidentManager`."""


INCIDENT_RECEIVER: Final = "incident-manager"
"""The receiver of type incident that is there when the Incident Manager is configured and none is named."""

RECEIVER_TYPES: Final[dict[str, type[ConfigModel]]] = {
    "webhook": WebhookConfig,
    "email": EmailConfig,
    "slack": SlackConfig,
    "pagerduty": PagerDutyConfig,
    "teams": TeamsConfig,
    "apprise": AppriseConfig,
    "incident": IncidentConfig,
}
"""Settings by receiver type."""


class ReceiverSettings(ConfigModel):
    """One receiver; what `config` accepts depends on the type."""

    name: Name = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=200)
    type: Annotated[str, Field(json_schema_extra={"enum": sorted(RECEIVER_TYPES)})]
    send_resolved: bool = True
    config: Annotated[SerializeAsAny[ConfigModel], WithJsonSchema({"type": "object"})] = Field(default_factory=dict, validate_default=True)

    @field_validator("type")
    @classmethod
    def _known_type(cls, value: str) -> str:
        if value not in RECEIVER_TYPES:
            raise PydanticCustomError("unknown_name", "expected a receiver type", {"valid": sorted(RECEIVER_TYPES)})
        return value

    @field_validator("config", mode="wrap")
    @classmethod
    def _config_of_type(cls, value: Any, handler: Any, info: ValidationInfo) -> ConfigModel:
        if isinstance(value, ConfigModel):
            return value
        if not isinstance(value, dict):
            raise ValueError("expected a mapping")
        model = RECEIVER_TYPES.get(info.data.get("type", ""))
        # An unknown type is reported by itself; its settings cannot be judged.
        return model.model_validate(value) if model else ConfigModel()
