"""Settings of a Shield action, at a detector or in an alert definition."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from sentinel.config.types import ConfigModel, PositiveDuration

ShieldKind = Literal["block", "rate_limit", "throttle", "quarantine", "alert_only"]


def _endpoint(value: Any) -> Any:
    if isinstance(value, str):
        address = value.removeprefix("grpcs://").removeprefix("grpc://")
        host, _, port = address.rpartition(":")
        if not host or "/" in address or not port.isdigit():
            raise ValueError("expected host:port, grpc://host:port or grpcs://host:port (TLS)")
    return value


Endpoint = Annotated[str, BeforeValidator(_endpoint), Field(examples=["grpcs://shield.example.com:9090"])]
"""Where a gRPC service listens."""


class ShieldSettings(ConfigModel):
    """How Shield is to act. Whom: the entity is the user, else the model, else the application; a request is the one that began it."""

    endpoint: Endpoint | None = Field(default=None, description="Another Shield than `integrations.shield`")
    target: Literal["entity", "request", "user", "model", "application"] = "entity"
    duration: PositiveDuration = Field(default=3600.0, le=2_592_000, description="Then it ends by itself, at the latest after 30 days")
    parameters: dict[str, str | bool | int | float] = Field(default={}, max_length=50)


class ShieldActionSettings(ShieldSettings):
    """`config` of an alert definition's action of type shield."""

    action: ShieldKind
