"""The master configuration `sentinel-config.yaml` v1 (specification, Data Schemas 4)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from sentinel.config.alerting import Alerting
from sentinel.config.detection import MAX_DETECTORS, Detection, Detector
from sentinel.config.ingestion import Ingestion
from sentinel.config.normalisation import OutOfRange
from sentinel.config.platform import (
    Api,
    Feature,
    Ha,
    Integrations,
    KafkaSettings,
    MultiRegion,
    Observability,
    Retry,
    ScalingPolicy,
)
from sentinel.config.privacy import TenantPrivacy
from sentinel.config.sidecar import Cache, Forwarding, Health, SidecarApplication
from sentinel.config.storage import ConfigServiceSettings, RetentionPolicies, Storage
from sentinel.config.types import ConfigModel, Name


class ConfigMetadata(ConfigModel):
    """What this configuration is for."""

    name: str = "sentinel"
    environment: str | None = None
    region: str | None = None


class TenantDetectors(ConfigModel):
    """Detectors of one tenant: its own, and those of everybody that it does without. An own one replaces a common one of the same id."""

    version: str | None = None
    last_updated: str | None = None
    items: list[Detector] = Field(default=[], max_length=MAX_DETECTORS)
    disabled: list[Name] = Field(default=[])


class TenantSettings(ConfigModel):
    """Settings of one tenant."""

    name: str | None = None
    detectors: TenantDetectors = TenantDetectors()
    privacy: TenantPrivacy | None = None
    timestamps: OutOfRange | None = None
    deduplicate_events: bool = Field(
        default=False, description="Drop events whose id came within the last ten minutes, and count them (ingestion job)"
    )
    pair_requests: bool | None = Field(
        default=None, description="Whether requests and answers are paired; else `ingestion.pairing.enabled` says it"
    )


class SentinelConfig(ConfigModel):
    """Everything that can be configured. What is left out has the default written here."""

    version: Literal["v1"] = "v1"
    mode: Literal["standalone", "microservice", "sidecar"] = "standalone"
    metadata: ConfigMetadata = ConfigMetadata()
    ingestion: Ingestion = Ingestion()
    detection: Detection = Detection()
    alerting: Alerting = Alerting()
    storage: Storage = Storage()
    config_service: ConfigServiceSettings = ConfigServiceSettings()
    api: Api = Api()
    observability: Observability = Observability()
    integrations: Integrations = Integrations()
    ha: Ha = Ha()
    tenants: dict[str, TenantSettings] = Field(default={})
    retention: RetentionPolicies | None = None
    retry: Retry | None = None
    components: dict[Literal["ingestion", "detection", "alert", "api"], ScalingPolicy] | None = None
    multi_region: MultiRegion | None = None
    kafka: KafkaSettings | None = None
    features: dict[str, Feature] | None = None
    application: SidecarApplication | None = None
    forwarding: Forwarding | None = None
    cache: Cache | None = None
    health: Health | None = None

    @model_validator(mode="after")
    def _not_too_many(self) -> SentinelConfig:
        total = len(self.detection.detectors.items) + sum(len(tenant.detectors.items) for tenant in self.tenants.values())
        if total > MAX_DETECTORS:
            raise ValueError(f"expected at most {MAX_DETECTORS} detectors with those of all tenants, found {total}")
        return self

    def to_snapshot(self) -> dict[str, Any]:
        """The effective configuration as plain JSON values, canonical keys, secrets as the references that they were written as."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def from_snapshot(snapshot: dict[str, Any]) -> SentinelConfig:
    """The model of a snapshot that `to_snapshot` made.

    Raises:
        pydantic.ValidationError: when it is not one.
    """
    return SentinelConfig.model_validate(snapshot)
