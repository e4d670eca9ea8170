"""Whose requests and answers are paired, and for how long."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from sentinel.config.units import parse_duration


class PairingSettings(msgspec.Struct, frozen=True):
    """Attributes:
    enabled: whether requests and answers are paired.
    timeout_s: how long a request waits for its answer, in event time.
    copy_prompt: whether the answer gets the prompt, too.
    tenants: `enabled` by tenant.
    """

    enabled: bool = False
    timeout_s: float = 300.0
    copy_prompt: bool = False
    tenants: Mapping[str, bool] = {}

    @property
    def anybody(self) -> bool:
        """Whether there may be a tenant whose events are paired."""
        return self.enabled or any(self.tenants.values())

    def concerns(self, tenant_id: str) -> bool:
        """Whether events of this tenant are paired."""
        return self.tenants.get(tenant_id, self.enabled)


def settings_from(snapshot: Mapping[str, Any]) -> PairingSettings:
    """The settings of a published configuration."""
    section = snapshot.get("ingestion", {}).get("pairing", {})
    own = {name: settings["pairRequests"] for name, settings in snapshot.get("tenants", {}).items() if "pairRequests" in settings}
    return PairingSettings(
        section.get("enabled", False), parse_duration(section.get("timeout", "5m")), section.get("copyPrompt", False), own
    )
