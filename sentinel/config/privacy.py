"""Sections `privacy`: what is done with personal data in texts, for everybody (`ingestion.privacy`) and for one tenant (`tenants.<id>.privacy`)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from sentinel.config.types import ConfigModel, Secret
from sentinel.privacy.kinds import NAMES


def _kind(value: Any) -> Any:
    if isinstance(value, str) and value not in NAMES:
        raise PydanticCustomError("unknown_name", "expected a kind of personal data", {"valid": list(NAMES)})
    return value


KindName = Annotated[str, BeforeValidator(_kind), WithJsonSchema({"type": "string", "enum": list(NAMES)})]


def _action(value: Any) -> Any:
    # A bare `off` is false in YAML.
    return "off" if value is False else value


Action = Annotated[Literal["off", "mask", "hash", "drop"], BeforeValidator(_action)]


class TenantPrivacy(ConfigModel):
    """Differences of one tenant from `ingestion.privacy`."""

    action: Action | None = None
    kinds: dict[KindName, Action] = Field(default={}, description="Action by kind or group of kinds; a kind goes before its group")


class Privacy(ConfigModel):
    """Off, mask, hash (the same for the same value of a tenant) or drop the whole text."""

    action: Action = "mask"
    kinds: dict[KindName, Action] = Field(default={}, description="Action by kind or group of kinds; a kind goes before its group")
    hash_key: Secret | None = Field(default=None, description="Key of the hashes, at least 16 bytes")
    hash_key_file: str | None = None
