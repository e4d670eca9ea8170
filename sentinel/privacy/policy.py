"""What a tenant wants done with personal data."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

from sentinel.privacy.kinds import GROUPS

Action = Literal["off", "mask", "hash", "drop"]
ACTIONS: tuple[str, ...] = get_args(Action)


class PrivacyPolicy(msgspec.Struct, frozen=True):
    """One action for every kind, and others for some.

    Attributes:
        action: `off` leaves the text as it is; `mask` puts `[EMAIL]` in the place of a value; `hash` puts `[EMAIL#…]`, the same for the same value of a
            tenant; `drop` puts `[DROPPED:EMAIL]` in the place of the whole text.
        kinds: action by kind or group; a kind goes before its group.
    """

    action: Action = "mask"
    kinds: Mapping[str, Action] = {}

    def action_for(self, kind: str) -> Action:
        """What is done with a kind."""
        return self.kinds.get(kind) or self.kinds.get(GROUPS[kind]) or self.action

    @property
    def is_off(self) -> bool:
        """Whether nothing is ever done."""
        return all(action == "off" for action in (self.action, *self.kinds.values()))

    def masking(self) -> PrivacyPolicy:
        """The same with `mask` for `hash`."""
        return PrivacyPolicy(_masking(self.action), {kind: _masking(action) for kind, action in self.kinds.items()})


def _masking(action: Action) -> Action:
    return "mask" if action == "hash" else action


class PrivacySettings(msgspec.Struct, frozen=True):
    """The policies of all tenants.

    Attributes:
        default: for tenants without one of their own.
        tenants: policy by tenant.
        hash_key: where the key of `hash` comes from: a reference `${NAME}` or None.
        hash_key_file: a file that holds it instead.
    """

    default: PrivacyPolicy = PrivacyPolicy()
    tenants: Mapping[str, PrivacyPolicy] = {}
    hash_key: str | None = None
    hash_key_file: str | None = None

    def of(self, tenant_id: str) -> PrivacyPolicy:
        """The policy of a tenant."""
        return self.tenants.get(tenant_id, self.default)

    @property
    def wants_hashes(self) -> bool:
        """Whether any policy says `hash`."""
        return any("hash" in (policy.action, *policy.kinds.values()) for policy in (self.default, *self.tenants.values()))

    def masking(self) -> PrivacySettings:
        """The same with `mask` for `hash`."""
        tenants = {tenant: policy.masking() for tenant, policy in self.tenants.items()}
        return PrivacySettings(self.default.masking(), tenants)


def settings_from(snapshot: Mapping[str, Any]) -> PrivacySettings:
    """The policies of a published configuration."""
    section = snapshot.get("ingestion", {}).get("privacy", {})
    default = _policy(section, PrivacyPolicy())
    tenants = {
        tenant: _policy(settings["privacy"], default) for tenant, settings in snapshot.get("tenants", {}).items() if settings.get("privacy")
    }
    return PrivacySettings(default, tenants, section.get("hashKey"), section.get("hashKeyFile"))


def _policy(settings: Mapping[str, Any], default: PrivacyPolicy) -> PrivacyPolicy:
    """What the settings leave out is as in `default`; an action of a tenant's own goes before the kinds of everybody."""
    kinds = settings.get("kinds", {})
    action = settings.get("action")
    return PrivacyPolicy(action, kinds) if action else PrivacyPolicy(default.action, {**default.kinds, **kinds})


class HashKeyMissingError(ValueError):
    """A policy wants hashes, and there is no key for them."""


def hash_key(settings: PrivacySettings) -> bytes | None:
    """The key of the hashes, from the environment variable or the file that the settings name; None when they name neither.

    Raises:
        HashKeyMissingError: what they name is not there, or shorter than 16 bytes.
    """
    if settings.hash_key_file:
        path = Path(settings.hash_key_file)
        try:
            key = path.read_bytes().strip()
        except OSError as error:
            raise HashKeyMissingError(f"ingestion.privacy.hashKeyFile: {path}: {error.strerror}") from None
        where = f"ingestion.privacy.hashKeyFile: {path}"
    elif settings.hash_key:
        name = settings.hash_key.removeprefix("${").removesuffix("}")
        key, where = os.environ.get(name, "").encode(), f"ingestion.privacy.hashKey: environment variable {name}"
    else:
        return None
    if len(key) < _SHORTEST_KEY:
        raise HashKeyMissingError(f"{where}: expected at least {_SHORTEST_KEY} bytes, found {len(key)}")
    return key


_SHORTEST_KEY = 16
