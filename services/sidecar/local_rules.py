"""The rules that run beside the application: thresholds and patterns on single events, by the code that the jobs run."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence

import numpy as np
from prometheus_client import CollectorRegistry, Histogram

from sentinel.anomaly import Anomaly
from sentinel.config.sidecar_view import SidecarView
from sentinel.detection.rules.engine import EventRules
from sentinel.events.columns import columns_of
from sentinel.events.model import Event

_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1)


class LocalRules:
    """Judges batches. `version` is that of the configuration in force, `detectors` how many of its rules run here."""

    def __init__(self, view: SidecarView, strategies: frozenset[str], registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "sentinel_sidecar_detection_seconds", "Local rules on one batch of events", buckets=_BUCKETS, registry=registry
        )
        self.use(view, strategies)

    def use(self, view: SidecarView, strategies: frozenset[str]) -> None:
        """Other rules from now on."""
        config = view.runtime(strategies)
        self._rules = EventRules(config)
        self.version, self.detectors = config.version, len(config.detectors)

    def judge(self, events: Sequence[Event], times_ms: Sequence[int]) -> list[Anomaly]:
        """Anomalies of the events; their ids are those that the jobs give to the same findings."""
        if not events or not self.detectors:
            return []
        began = time.perf_counter()
        listed = list(events)
        columns = columns_of(listed, np.array(times_ms, np.int64))
        ids: list[uuid.UUID | None] = [event.event_id for event in listed]
        found = self._rules.evaluate(listed, columns, ids, time.time_ns() // 1_000_000)
        self._seconds.observe(time.perf_counter() - began)
        return found
