"""What a sidecar does not do as it is written, and what is written for one where none is meant."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sentinel.config.canonical import Path
from sentinel.config.model import SentinelConfig

_SIDECAR_KEYS: tuple[Path, ...] = (
    ("application",),
    ("forwarding",),
    ("cache",),
    ("health",),
    ("detection", "local"),
    ("detection", "remote"),
    ("ingestion", "local"),
    ("ingestion", "batching"),
    ("ingestion", "buffer", "dropPolicy"),
)


def sidecar_warnings(config: SentinelConfig, given: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    """Path and sentence. `given` is the canonical document of the user."""
    if config.mode != "sidecar":
        for path in _SIDECAR_KEYS:
            if _written(given, path):
                yield path, "used by a sidecar alone (`mode: sidecar`, `sentinel sidecar`)"
        return
    if _written(given, ("ingestion", "buffer", "overflow")) and config.ingestion.buffer.overflow.enabled:
        yield ("ingestion", "buffer", "overflow"), "a sidecar keeps nothing on disk: what its buffer does not hold is dropped (dropPolicy)"
    remote = config.detection.remote
    if remote is not None and not remote.async_:
        yield ("detection", "remote", "async"), "remote detection is always asynchronous: events are sent on, and anomalies come back"
    for number, detector in enumerate(config.detection.local.detectors if config.detection.local is not None else ()):
        if any(getattr(detector, name) is False for name in detector.model_fields_set):
            yield ("detection", "local", "detectors", number), "low latency and fast matching are not switched off: there is no other way"
    if config.alerting.model_fields_set and "alerting" in given:
        yield ("alerting",), "not used by a sidecar: alerts are made at the centre"


def _written(given: dict[str, Any], path: Path) -> bool:
    section: Any = given
    for step in path:
        if not isinstance(section, dict) or step not in section:
            return False
        section = section[step]
    return True
