"""What one model cannot see: references between parts (refused when broken), and what this release does not use (warned)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sentinel.config.action_checks import action_findings, action_warnings, detector_warnings
from sentinel.config.alerting_checks import alerting_references
from sentinel.config.canonical import Path
from sentinel.config.detection import Detector
from sentinel.config.errors import Finding, nearest, shown
from sentinel.config.model import SentinelConfig
from sentinel.config.privacy import Privacy, TenantPrivacy
from sentinel.config.rules import CompositeParams
from sentinel.config.runnable import RUNNABLE
from sentinel.config.sidecar_checks import sidecar_warnings
from sentinel.config.template_checks import template_findings
from sentinel.config.types import camel

_UNUSED_SECTIONS = {
    "storage": "addresses and retention of stores; the running stack's are used",
    "observability": "metrics, logs and traces of Sentinel itself",
    "ha": "leader election and singleton tasks",
    "api": "the API gateway",
    "retention": "retention tiers",
    "components": "auto-scaling policies",
    "multi_region": "several regions",
    "kafka": "topic durability settings",
    "features": "feature flags",
}
_NO_PARTS = frozenset({"composite", "peer", "silence", "user_profile", "entity_relationship", "access_pattern"})
_UNUSED_KEYS = {"detection": ("workers", "batchSize"), "alerting": ("workers",)}


def broken_references(config: SentinelConfig) -> Iterator[Finding]:
    """Receivers, time intervals, escalation policies and detectors that are named somewhere and defined nowhere."""
    yield from alerting_references(config.alerting)
    yield from _unhashable(config)
    yield from action_findings(config)
    yield from template_findings(config)
    ids = [detector.id for detector in config.detection.detectors.items]
    yield from _parts_of_composites(config)
    for tenant, settings in config.tenants.items():
        for place, detector in enumerate(settings.detectors.disabled):
            if detector not in ids:
                path: Path = ("tenants", tenant, "detectors", "disabled", place)
                yield Finding(path, shown(detector), "expected the id of a common detector", nearest(detector, ids))


def _parts_of_composites(config: SentinelConfig) -> Iterator[Finding]:
    """Detectors that a composite builds on must exist for the same tenants, and be judged on events or on the seconds of the application."""
    base: Path = ("detection", "detectors", "items")
    common = [item.id for item in config.detection.detectors.items if item.strategy not in _NO_PARTS]
    lists: list[tuple[Path, list[Detector], list[str]]] = [(base, config.detection.detectors.items, [])]
    lists += [(("tenants", name, "detectors", "items"), own.detectors.items, common) for name, own in config.tenants.items()]
    for path, items, others in lists:
        usable = [*others, *(item.id for item in items if item.strategy not in _NO_PARTS)]
        for number, item in enumerate(items):
            if isinstance(item.config, CompositeParams):
                for node, _ in item.config.nodes():
                    if node.detector is not None and node.detector not in usable:
                        where = (*path, number, "config")
                        yield Finding(
                            where, shown(node.detector), "expected the id of a detector on events or panes", nearest(node.detector, usable)
                        )


def _unhashable(config: SentinelConfig) -> Iterator[Finding]:
    """Hashes of personal data without a key."""
    privacy = config.ingestion.privacy
    if privacy.hash_key is not None or privacy.hash_key_file is not None:
        return
    sections: list[tuple[Path, Privacy | TenantPrivacy]] = [(("ingestion", "privacy"), privacy)]
    sections += [(("tenants", tenant, "privacy"), settings.privacy) for tenant, settings in config.tenants.items() if settings.privacy]
    for where, section in sections:
        if "hash" in (section.action, *section.kinds.values()):
            yield Finding(where, "hash", "expected ingestion.privacy.hashKey or hashKeyFile, without which nothing can be hashed")


def warnings(config: SentinelConfig, given: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    """Path and sentence for everything that is accepted and yet not done as written. `given` is the canonical document of the user."""
    yield from _detectors(config)
    yield from _replaced_stores(config)
    yield from _alerting(config)
    yield from action_warnings(config)
    yield from _integrations(config)
    if config.mode == "microservice":
        yield ("mode",), f"mode {config.mode} is not run by this release: the configuration is used as for standalone"
    yield from sidecar_warnings(config, given)
    for section, keys in _UNUSED_KEYS.items():
        written = given.get(section)
        for key in keys:
            if isinstance(written, dict) and key in written:
                yield (section, key), "this setting is checked and kept, and not used by this release"
    detectors = (given.get("detection") or {}).get("detectors")
    if isinstance(detectors, dict) and "syncInterval" in detectors:
        yield (
            ("detection", "detectors", "syncInterval"),
            "not used: changes arrive as they are published, and a connection that breaks is renewed",
        )
    yield from _ingestion(given.get("ingestion"))
    for name, what in _UNUSED_SECTIONS.items():
        key = str(SentinelConfig.model_fields[name].alias or name)
        if key in given:
            yield (key,), f"this section is checked and kept, and not used by this release ({what})"


def _integrations(config: SentinelConfig) -> Iterator[tuple[Path, str]]:
    unused = {"observatory": "telemetry is read from Kafka"}
    for name, what in unused.items():
        if getattr(config.integrations, name):
            yield ("integrations", camel(name)), f"this section is checked and kept, and not used by this release ({what})"


def _detectors(config: SentinelConfig) -> Iterator[tuple[Path, str]]:
    common: Path = ("detection", "detectors", "items")
    lists = [(common, config.detection.detectors.items)]
    lists += [(("tenants", tenant, "detectors", "items"), settings.detectors.items) for tenant, settings in config.tenants.items()]
    for path, items in lists:
        for number, detector in enumerate(items):
            if detector.enabled and detector.strategy not in RUNNABLE:
                yield (*path, number, "strategy"), f"detector {detector.id}: strategy {detector.strategy} is not run by this release"
            for told in detector_warnings(config, detector):
                yield (*path, number, "actions"), told


def _ingestion(given: Any) -> Iterator[tuple[Path, str]]:
    """What of the doors the gateway does not do."""
    if not isinstance(given, dict):
        return
    doors = given["protocols"] if isinstance(given.get("protocols"), dict) else given
    if "kafka" in doors:
        yield ("ingestion", "protocols", "kafka"), "checked and kept, and not used: the jobs read Kafka where the environment says it is"
        kafka = doors["kafka"]
        if isinstance(kafka, dict) and "sasl" in kafka:
            told = "not used: the configuration lies in Kafka itself, so the login there comes from the environment (SENTINEL_KAFKA_USERNAME …)"
            yield ("ingestion", "protocols", "kafka", "sasl"), told


def _replaced_stores(config: SentinelConfig) -> Iterator[tuple[Path, str]]:
    storage = config.storage
    ours = [
        (("storage", "timeseries", "type"), storage.timeseries.type, "postgresql", "PostgreSQL"),
        (("storage", "events", "type"), storage.events.type, "opensearch", "OpenSearch"),
        (("storage", "alerts", "type"), storage.alerts.type, "postgresql", "PostgreSQL"),
        (("storage", "objectStorage", "type"), storage.object_storage.type, "file", "a file system that Flink knows"),
        (("configService", "type"), config.config_service.type, "postgresql", "PostgreSQL with a compacted Kafka topic"),
        (("ha", "leader", "election"), config.ha.leader.election, "postgresql", "a PostgreSQL advisory lock"),
        (("observability", "tracing", "type"), config.observability.tracing.type, "otlp", "OTLP"),
    ]
    for path, found, own, name in ours:
        if found != own:
            yield path, f"{found} is replaced: this product uses {name}"


def _alerting(config: SentinelConfig) -> Iterator[tuple[Path, str]]:
    alerting = config.alerting
    if alerting.routing.default_receiver is None:
        yield ("alerting", "routing", "defaultReceiver"), "there is none: alerts that match no route are recorded, and nobody is told"
