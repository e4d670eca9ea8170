"""Environment overrides: `SENTINEL__DETECTION__CORRELATION__WINDOW=15m`. Case and single underscores are ignored; lists are JSON."""

from __future__ import annotations

from typing import Any

from pydantic import create_model
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from sentinel.config.model import SentinelConfig

PREFIX = "SENTINEL__"


class _Environment(BaseSettings):
    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", extra="allow")


def environment_overrides() -> dict[str, Any]:
    """What the environment sets, as a nested mapping with lower-case keys; `canonical_keys(…, loose=True)` gives them their names.

    A first part that is no section of the configuration is kept, so that validation refuses it by name.
    """
    fields: dict[str, Any] = {name: (str if name in ("version", "mode") else dict[str, Any], None) for name in SentinelConfig.model_fields}
    settings = create_model("SentinelEnvironment", __base__=_Environment, **fields)
    source = EnvSettingsSource(settings)
    overrides: dict[str, Any] = {key: value for key, value in source().items() if value is not None}
    for name, value in source.env_vars.items():
        section = name.lower().removeprefix(PREFIX.lower()).split("__")[0] if name.lower().startswith(PREFIX.lower()) else None
        if section and section not in overrides and section not in fields and not any(section == key.replace("_", "") for key in fields):
            overrides[section] = value
    return overrides


def merged(document: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """The document with the overrides in it; mappings are merged, everything else is replaced."""
    result = dict(document)
    for key, value in overrides.items():
        known = result.get(key)
        result[key] = merged(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return result
