"""A detector in its place, with the configuration that it was made from."""

from __future__ import annotations

from sentinel.config.runnable import BEHAVIOURAL
from sentinel.config.runtime import DetectorConfig
from sentinel.detection.detectors import PaneDetector
from sentinel.detection.detectors.keyed_rule import RuleDetector
from sentinel.detection.facts import ENTITY_RULES, watched_by


class Slot:
    """One detector at one key, with the configuration that it was made from."""

    __slots__ = ("config", "detector")

    def __init__(self, config: DetectorConfig, detector: PaneDetector) -> None:
        self.config, self.detector = config, detector


class RuleSlot:
    """One rule with memory at one application, with the configuration that it was made from."""

    __slots__ = ("config", "detector", "facts_of")

    def __init__(self, config: DetectorConfig, detector: RuleDetector) -> None:
        self.config, self.detector = config, detector
        # Facts about users or API keys are shared, all others are made for the rule.
        self.facts_of = ENTITY_RULES[watched_by(config.params)] if config.strategy in BEHAVIOURAL else config.id
