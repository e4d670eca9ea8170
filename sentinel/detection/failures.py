"""Detectors that throw or take longer than `processingTimeout`: counted, and said where people look, as records of detector `detector-failure`.

A record says how often the detector threw at this application since the last one. It is made at the 1st, 2nd, 4th, 8th … time, so that a detector
that throws at every event is visible and yet floods nobody.
"""

from __future__ import annotations

import logging

from sentinel.anomaly import Anomaly, anomaly_id
from sentinel.config.runtime import DetectorConfig
from sentinel.timestamps import to_rfc3339

FAILURE_DETECTOR = "detector-failure"
MAX_COUNTED = 10_000


def too_slow(seconds: float, work: str, limit_s: float) -> TimeoutError | None:
    """What is to be said of a detector that took so long for `work`; None within the limit. What it found counts all the same."""
    return TimeoutError(f"{seconds:.1f} s for {work}, processingTimeout is {limit_s:g} s") if seconds > limit_s else None


_log = logging.getLogger(__name__)


class Failures:
    """Counts by detector, tenant and application; the records that are due are taken with `take`."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, str], int] = {}
        self._due: list[Anomaly] = []

    @property
    def by_detector(self) -> dict[str, int]:
        """How often each detector threw."""
        totals: dict[str, int] = {}
        for (detector, _, _), count in self._counts.items():
            totals[detector] = totals.get(detector, 0) + count
        return totals

    def count(
        self, config: DetectorConfig, tenant_id: str, application_id: str, error: Exception, at_ms: int, version: int, dedup_ms: int
    ) -> None:
        """Count one failure at event time `at_ms`."""
        key = (config.id, tenant_id, application_id)
        count = self._counts.get(key, 0) + 1
        if key not in self._counts and len(self._counts) >= MAX_COUNTED:
            return
        self._counts[key] = count
        if count & (count - 1):
            return
        _log.error("detector %s failed at %s|%s (%d times so far): %r", config.id, tenant_id, application_id, count, error)
        self._due.append(_record(config, tenant_id, application_id, error, at_ms, count - count // 2, count, version, dedup_ms))

    def take(self) -> list[Anomaly]:
        """The records that are due."""
        due, self._due = self._due, []
        return due


def _record(
    config: DetectorConfig,
    tenant_id: str,
    application_id: str,
    error: Exception,
    at_ms: int,
    since_last: int,
    count: int,
    version: int,
    dedup_ms: int,
) -> Anomaly:
    seen = to_rfc3339(at_ms)
    reason = "".join(c if c.isprintable() else " " for c in f"{type(error).__name__}: {error}")[:300]
    slow = isinstance(error, TimeoutError)
    what = f"was too slow: {reason}" if slow else f"threw {reason}. It starts afresh at this key; the others go on"
    return Anomaly(
        anomaly_id=anomaly_id(
            tenant_id=tenant_id,
            detector_id=FAILURE_DETECTOR,
            application_id=application_id,
            severity="warning",
            entity_type="detector",
            entity_id=config.id,
            first_event_ms=at_ms,
            dedup_window_ms=dedup_ms,
        ),
        timestamp=seen,
        detector_id=FAILURE_DETECTOR,
        detector_type="rule",
        severity="warning",
        score=1.0,
        tenant_id=tenant_id,
        application_id=application_id,
        title=f"Detector {config.id} fails at {application_id}",
        description=f"Detector {config.id} (strategy {config.strategy}) {what}. {count} times so far at {application_id}",
        affected_entity={"type": "application", "id": application_id, "name": application_id},
        metrics={"observed_value": float(count)},
        context={"window_start": seen, "window_end": seen, "sample_events": [], "related_anomalies": []},
        count=since_last,
        first_seen=seen,
        last_seen=seen,
        config_version=version,
        labels={"failed_detector": config.id, "strategy": config.strategy, "error": type(error).__name__},
    )
