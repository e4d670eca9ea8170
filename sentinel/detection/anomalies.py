"""From a detection at a key to the anomaly record."""

from __future__ import annotations

import math

from sentinel.anomaly import EDGE, SHADOW, Anomaly, anomaly_id
from sentinel.config.runtime import DetectorConfig
from sentinel.detection.detection import Detection
from sentinel.detection.sentences import describe
from sentinel.timestamps import to_rfc3339


def to_anomaly(
    config: DetectorConfig, tenant_id: str, application_id: str, model: str, found: Detection, version: int, dedup_ms: int
) -> Anomaly:
    """The record of one detection; a function of its arguments alone. The model is empty at application level."""
    entity = f"{application_id}/{model}" if model else application_id
    if found.user_id:
        affected = {"type": "user", "id": found.user_id, "name": found.user_id}
    elif model:
        affected = {"type": "model", "id": model, "name": model}
    else:
        affected = {"type": "application", "id": application_id, "name": application_id}
    title, reason = describe(config, entity, found)
    # A shadow's findings have ids of their own: two versions may find the same.
    identity = anomaly_id(
        tenant_id=tenant_id,
        detector_id=f"{config.id}@{found.model_version}" if found.shadow else config.id,
        application_id=application_id,
        severity=found.severity,
        entity_type=affected["type"],
        entity_id=f"{affected['id']}|{found.key}" if found.key else affected["id"],
        first_event_ms=found.anchor_ms,
        dedup_window_ms=dedup_ms,
    )
    figures = {
        "baseline_value": found.baseline,
        "observed_value": found.observed,
        "deviation": found.deviation,
        "threshold": found.threshold,
        "expected_low": found.low,
        "expected_high": found.high,
    }
    labels = {"strategy": config.strategy}
    if found.key:
        labels |= {"key": found.key}
    if found.model_version:
        labels |= {"model_version": found.model_version}
        figures["model_score"] = found.model_score
    return Anomaly(
        anomaly_id=identity,
        timestamp=to_rfc3339(found.detected_ms),
        detector_id=config.id,
        detector_type=config.type,
        severity=found.severity,
        score=min(1.0, max(0.0, found.score)) if math.isfinite(found.score) else 0.0,
        application_id=application_id,
        tenant_id=tenant_id,
        model=model,
        metric=found.metric or config.metric or "",
        status=SHADOW if found.shadow else EDGE if found.edge else "active",
        user_id=found.user_id,
        title=title,
        description=reason,
        affected_entity=affected,
        metrics={name: float(f"{value:.6g}") for name, value in figures.items() if math.isfinite(value)},
        context={
            "window_start": to_rfc3339(found.window_start_ms),
            "window_end": to_rfc3339(found.window_end_ms),
            "sample_events": list(found.samples),
            "related_anomalies": [],
            **({"trace_ids": [found.key.removeprefix("trace ")]} if found.key.startswith("trace ") else {}),
        },
        first_seen=to_rfc3339(found.detected_ms),
        last_seen=to_rfc3339(found.detected_ms),
        config_version=version,
        labels=labels,
    )
