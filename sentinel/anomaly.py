"""The anomaly event as it travels between jobs (specification, Data Schemas 2, with our optional additions)."""

from __future__ import annotations

from typing import Any

import msgspec

from sentinel.identity import stable_id

DEFAULT_DEDUP_WINDOW_MS = 300_000
SHADOW = "shadow"
"""Status of what a model in shadow mode found: recorded, and never raised."""
EDGE = "edge"
"""Status of what is no anomaly yet, but is counted across applications (`sentinel.detection.fan_out`); it leaves no job."""


class Anomaly(msgspec.Struct, kw_only=True):
    """One anomaly. Times are RFC 3339 text (UTC, ms). `update` is false on the first record of an id, true on later ones."""

    anomaly_id: str
    timestamp: str
    detector_id: str
    severity: str
    score: float
    status: str = "active"
    detector_type: str = "statistical"
    application_id: str = ""
    tenant_id: str = ""
    model: str = ""
    metric: str = ""
    user_id: str = ""
    title: str = ""
    description: str = ""
    affected_entity: dict[str, str] = {}
    metrics: dict[str, float] = {}
    context: dict[str, Any] = {}
    actions_taken: list[dict[str, Any]] = []
    count: int = 1
    first_seen: str = ""
    last_seen: str = ""
    config_version: int = 0
    correlation: dict[str, str] = {}
    labels: dict[str, str] = {}
    update: bool = False

    def to_json(self) -> bytes:
        return _encoder.encode(self)

    @staticmethod
    def from_json(data: bytes | str) -> Anomaly:
        """Raises msgspec.ValidationError naming the path when the record is not an anomaly."""
        return _decoder.decode(data)


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Anomaly)


def anomaly_id(
    *,
    tenant_id: str,
    detector_id: str,
    application_id: str,
    severity: str,
    entity_type: str,
    entity_id: str,
    first_event_ms: int,
    dedup_window_ms: int = DEFAULT_DEDUP_WINDOW_MS,
) -> str:
    """The id of an anomaly: equal fingerprints inside one aligned dedup window (event time) share it."""
    bucket = first_event_ms // dedup_window_ms
    return stable_id(tenant_id, detector_id, application_id, severity, entity_type, entity_id, bucket)
