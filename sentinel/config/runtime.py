"""The configuration as workers see it: immutable structs, seconds as floats, no pydantic.

A worker gets the published snapshot (topic ``sentinel-config``: ``{"version": N, "config": {…}}``) and builds this view from it in
well below a millisecond. The snapshot was validated before it was published, so that nothing is validated again here; a snapshot
that nevertheless lacks something raises ``KeyError`` or ``ValueError``, and the caller keeps the view that it had.
"""

from fnmatch import fnmatchcase
from typing import Any, Literal

import msgspec

from sentinel.config.runtime_alerting import (
    Definition,
    DefinitionAction,
    Escalation,
    EscalationStep,
    FlapDamping,
    Grouping,
    InhibitRule,
    MaintenanceWindow,
    Matcher,
    Receiver,
    ReceiverGroup,
    Route,
    Schedule,
    Severity,
    SuppressionRule,
    TimeInterval,
    TimeRange,
)
from sentinel.events.normalisation import NormalisationSettings
from sentinel.events.pairing_settings import PairingSettings
from sentinel.pricing.table import PricingSettings
from sentinel.privacy.policy import PrivacySettings

__all__ = [
    "Correlation",
    "Dedup",
    "Definition",
    "DefinitionAction",
    "DetectorAction",
    "DetectorConfig",
    "Escalation",
    "EscalationStep",
    "FlapDamping",
    "Grouping",
    "InhibitRule",
    "MaintenanceWindow",
    "Matcher",
    "Receiver",
    "ReceiverGroup",
    "Route",
    "RuntimeConfig",
    "Schedule",
    "Scope",
    "Severity",
    "SuppressionRule",
    "TimeInterval",
    "TimeRange",
]


class Scope(msgspec.Struct, frozen=True):
    """Where a detector looks: globs (``*``, ``?``) on tenant, application and model; an empty list means everywhere."""

    tenants: tuple[str, ...] = ()
    applications: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    excluded_tenants: tuple[str, ...] = ()

    def matches(self, tenant_id: str, application_id: str, model: str | None = None) -> bool:
        """Whether the detector applies. ``model=None`` leaves the model out of the question (application level)."""
        return self.allows_tenant(tenant_id) and _any(self.applications, application_id) and (model is None or _any(self.models, model))

    def allows_tenant(self, tenant_id: str) -> bool:
        """Whether the detector looks at anything of the tenant."""
        return _any(self.tenants, tenant_id) and tenant_id not in self.excluded_tenants


class DetectorAction(msgspec.Struct, frozen=True):
    """What follows a hit: an alert name (label ``alertname``) with a severity, or a request to Shield."""

    alert: str | None = None
    severity: Severity | None = None
    shield: str | None = None
    shield_config: dict[str, Any] | None = None


class DetectorConfig(msgspec.Struct, frozen=True):
    """One enabled detector that this release runs.

    Attributes:
        level: what it is fed with: ``event`` (one event), ``pane`` (windows of an application and model), ``user`` (user panes).
        metric: canonical metric name, or None (patterns, silence).
        params: the detector's ``config`` with defaults filled in; snake_case; durations end in ``_s`` and are seconds
            (``window: 5m`` is ``window_s: 300.0``); patterns are ``[{"id": …, "pattern": …}]``.
        severity: severity of the first action that names one, else ``warning``.
    """

    id: str
    type: Literal["statistical", "rule", "ml", "behavioral"]
    strategy: str
    level: Literal["event", "pane", "user"]
    metric: str | None
    params: dict[str, Any]
    severity: Severity = "warning"
    scope: Scope = Scope()
    actions: tuple[DetectorAction, ...] = ()
    name: str = ""

    @property
    def shields_users(self) -> bool:
        """Whether Shield is asked to act on users: then each user is an anomaly of its own."""
        return any(action.shield and (action.shield_config or {}).get("target", "entity") in ("entity", "user") for action in self.actions)


class Correlation(msgspec.Struct, frozen=True):
    """Which anomalies belong together (per tenant and application)."""

    enabled: bool = True
    window_s: float = 600.0
    max_related: int = 50


class Dedup(msgspec.Struct, frozen=True):
    """Equal anomalies within the window are one, with a count."""

    enabled: bool = True
    window_s: float = 300.0
    fields: tuple[str, ...] = ("detector_id", "application_id", "severity")


class RuntimeConfig(msgspec.Struct, frozen=True):
    """Everything that detection and alerting need from one published configuration version."""

    version: int
    detectors: tuple[DetectorConfig, ...] = ()
    correlation: Correlation = Correlation()
    dedup: Dedup = Dedup()
    grouping: Grouping = Grouping()
    default_receiver: str = ""
    routes: tuple[Route, ...] = ()
    receivers: tuple[Receiver, ...] = ()
    definitions: tuple[Definition, ...] = ()
    maintenance_windows: tuple[MaintenanceWindow, ...] = ()
    suppression_rules: tuple[SuppressionRule, ...] = ()
    receiver_groups: tuple[ReceiverGroup, ...] = ()
    inhibit_rules: tuple[InhibitRule, ...] = ()
    time_intervals: tuple[TimeInterval, ...] = ()
    escalations: tuple[Escalation, ...] = ()
    default_escalation: str = ""
    flap: FlapDamping = FlapDamping()
    resolve_timeout_s: float = 300.0
    processing_timeout_s: float = 5.0
    external_url: str = ""
    privacy: PrivacySettings = PrivacySettings()
    incident_auto_create: bool = False
    pricing: PricingSettings = PricingSettings()
    normalisation: NormalisationSettings = NormalisationSettings()
    deduplicated_tenants: frozenset[str] = frozenset()
    pairing: PairingSettings = PairingSettings()

    @classmethod
    def from_snapshot(cls, version: int, snapshot: dict[str, Any]) -> "RuntimeConfig":
        """Build the view from ``SentinelConfig.to_snapshot()``.

        Raises:
            KeyError, ValueError: when the snapshot does not come from a validated configuration.
        """
        from sentinel.config.runtime_builder import build_runtime

        return build_runtime(version, snapshot)

    @classmethod
    def from_record(cls, value: bytes | str) -> "RuntimeConfig":
        """Build the view from a record's value on the topic ``sentinel-config``.

        Raises:
            KeyError, ValueError: when the value is not ``{"version": int, "config": {…}}`` of a validated configuration.
        """
        record = msgspec.json.decode(value)
        return cls.from_snapshot(int(record["version"]), record["config"])

    def at_level(self, level: Literal["event", "pane", "user"]) -> tuple[DetectorConfig, ...]:
        """The detectors that are fed with events, panes or user panes."""
        return tuple(detector for detector in self.detectors if detector.level == level)


def _any(patterns: tuple[str, ...], value: str) -> bool:
    return not patterns or any(pattern == "*" or fnmatchcase(value, pattern) for pattern in patterns)
