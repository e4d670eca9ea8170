"""What a sidecar needs of a configuration version: rules on single events, and the privacy policies of its tenants; no receiver, no address."""

from __future__ import annotations

from typing import Any

import msgspec

from sentinel.config.runtime import Dedup, DetectorAction, DetectorConfig, RuntimeConfig
from sentinel.events.normalisation import NormalisationSettings
from sentinel.events.pairing_settings import PairingSettings
from sentinel.events.pairing_settings import settings_from as pairing_of
from sentinel.pricing.table import PricingSettings
from sentinel.privacy.policy import PrivacySettings

LOCAL_STRATEGIES = ("threshold", "pattern")
"""What runs beside an application: light, and without memory."""


class SidecarView(msgspec.Struct, frozen=True):
    """A part of one configuration version.

    Attributes:
        version: as published; 0 for a file's own.
        tenant_id: of events that name none, as the token says.
        detectors: those that judge single events by a threshold or a pattern.
        privacy: policies; a key of hashes is named by a reference, never sent.
        pricing, normalisation: what else happens to events at a door.
        pairing: whose answers may come without their latency.
    """

    version: int
    tenant_id: str = "default"
    detectors: tuple[DetectorConfig, ...] = ()
    dedup: Dedup = Dedup()
    processing_timeout_s: float = 5.0
    privacy: PrivacySettings = PrivacySettings()
    pricing: PricingSettings = PricingSettings()
    normalisation: NormalisationSettings = NormalisationSettings()
    pairing: PairingSettings = PairingSettings()

    def runtime(self, strategies: frozenset[str]) -> RuntimeConfig:
        """For `EventRules`, with the given strategies alone."""
        detectors = tuple(detector for detector in self.detectors if detector.strategy in strategies)
        return RuntimeConfig(
            self.version, detectors, dedup=self.dedup, processing_timeout_s=self.processing_timeout_s, privacy=self.privacy
        )

    def to_json(self) -> bytes:
        """As it travels."""
        return _encoder.encode(self)

    @staticmethod
    def from_json(data: bytes) -> SidecarView:
        """Raises msgspec.ValidationError or msgspec.DecodeError."""
        return _decoder.decode(data)


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(SidecarView)


def view_of(version: int, snapshot: dict[str, Any], tenant_id: str = "default", tenants: frozenset[str] | None = None) -> SidecarView:
    """The view of a snapshot (`SentinelConfig.to_snapshot`) for some tenants; None: for all. `tenant_id` is that of events that name none.

    Raises:
        KeyError, ValueError: when it is no snapshot.
    """
    config = RuntimeConfig.from_snapshot(version, snapshot)
    detectors = [one for one in config.at_level("event") if one.strategy in LOCAL_STRATEGIES and _concerns(one, tenants)]
    return SidecarView(
        version,
        tenant_id,
        tuple(_bare(one, tenants) for one in detectors),
        config.dedup,
        config.processing_timeout_s,
        _privacy(config.privacy, tenants),
        config.pricing,
        _normalisation(config.normalisation, tenants),
        _pairing(pairing_of(snapshot), tenants),
    )


def _privacy(settings: PrivacySettings, tenants: frozenset[str] | None) -> PrivacySettings:
    own = {tenant: policy for tenant, policy in settings.tenants.items() if tenants is None or tenant in tenants}
    return PrivacySettings(settings.default, own, settings.hash_key, settings.hash_key_file)


def _normalisation(settings: NormalisationSettings, tenants: frozenset[str] | None) -> NormalisationSettings:
    applications = {name: tenant for name, tenant in settings.applications.items() if tenants is None or tenant in tenants}
    times = {tenant: action for tenant, action in settings.tenant_timestamps.items() if tenants is None or tenant in tenants}
    return NormalisationSettings(settings.enabled, applications, settings.timestamps, times)


def _pairing(settings: PairingSettings, tenants: frozenset[str] | None) -> PairingSettings:
    own = {tenant: enabled for tenant, enabled in settings.tenants.items() if tenants is None or tenant in tenants}
    return msgspec.structs.replace(settings, tenants=own)


def _concerns(detector: DetectorConfig, tenants: frozenset[str] | None) -> bool:
    return tenants is None or any(detector.scope.allows_tenant(tenant) for tenant in tenants)


def _bare(detector: DetectorConfig, tenants: frozenset[str] | None) -> DetectorConfig:
    """Without where Shield is, and without the names of other tenants; whom an action is about stays, since it decides whom an anomaly is about."""
    actions = tuple(
        DetectorAction(
            one.alert, one.severity, one.shield, {"target": (one.shield_config or {}).get("target", "entity")} if one.shield else None
        )
        for one in detector.actions
    )
    scope = detector.scope
    if tenants is not None:
        excluded = tuple(tenant for tenant in scope.excluded_tenants if tenant in tenants)
        allowed = tuple(sorted(tenant for tenant in tenants if scope.allows_tenant(tenant)))
        scope = type(scope)(allowed, scope.applications, scope.models, excluded)
    return msgspec.structs.replace(detector, actions=actions, scope=scope)
