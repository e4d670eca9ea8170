"""Which detectors a key gets."""

from __future__ import annotations

from collections.abc import Callable

from sentinel.config.runtime import DetectorConfig
from sentinel.detection.detectors import PaneDetector
from sentinel.detection.detectors.keyed_rule import RuleDetector
from sentinel.detection.meter import Meter


class Plan:
    """Which detectors a key gets: built once a configuration, shared by all keys."""

    def __init__(
        self,
        detectors: tuple[DetectorConfig, ...],
        levels: dict[str, str],
        make: Callable[[DetectorConfig], PaneDetector],
        make_rule: Callable[[DetectorConfig], RuleDetector],
        timeout_s: float = 5.0,
    ) -> None:
        self.detectors = detectors
        self.levels = levels
        self.make = make
        self.make_rule = make_rule
        self.timeout_s = timeout_s
        self.meter: Meter | None = None
        """Set while calls take longer than the timeout"""

    def at(self, level: str, tenant_id: str, application_id: str, model: str | None) -> list[DetectorConfig]:
        return [d for d in self.detectors if self.levels[d.id] == level and d.scope.matches(tenant_id, application_id, model)]
