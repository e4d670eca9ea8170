"""The pane detectors by strategy. Each is a plain class: `on_pane`, `on_time`, `next_timer`, `to_state`, `from_state`."""

from __future__ import annotations

from typing import Any, Protocol

from sentinel.config.runtime import DetectorConfig
from sentinel.detection.detection import Detection
from sentinel.detection.detectors.access_pattern import AccessPatternDetector
from sentinel.detection.detectors.aggregation import AggregationDetector
from sentinel.detection.detectors.cep import CepDetector
from sentinel.detection.detectors.composite import CompositeDetector
from sentinel.detection.detectors.custom import PluginDetector
from sentinel.detection.detectors.entity_relationship import EntityRelationshipDetector
from sentinel.detection.detectors.keyed_rule import RuleDetector
from sentinel.detection.detectors.moving_average import MovingAverageDetector
from sentinel.detection.detectors.peer import PeerDetector
from sentinel.detection.detectors.percentile import PercentileDetector
from sentinel.detection.detectors.series import SeriesPaneDetector
from sentinel.detection.detectors.silence import SilenceDetector
from sentinel.detection.detectors.threshold import ThresholdDetector
from sentinel.detection.detectors.trained import ModelDetector
from sentinel.detection.detectors.user_profile import UserProfileDetector
from sentinel.detection.detectors.zscore import ZScoreDetector
from sentinel.detection.series.registry import SERIES
from sentinel.detection.tuning import Tuning


class PaneDetector(Protocol):
    """A detector of one key. Panes come in event-time order; `on_time` says that event time has reached `now_ms`."""

    tuning: Tuning

    def on_pane(self, pane: Any) -> Detection | None: ...

    def on_time(self, now_ms: int) -> Detection | None: ...

    def next_timer(self) -> int | None: ...

    def to_state(self) -> list[Any]: ...

    def from_state(self, state: Any) -> None: ...


STRATEGIES: dict[str, type[PaneDetector]] = {
    "zscore": ZScoreDetector,
    "moving_average": MovingAverageDetector,
    "percentile": PercentileDetector,
    "silence": SilenceDetector,
    "peer": PeerDetector,
    "custom": PluginDetector,
    "threshold": ThresholdDetector,
    "isolation_forest": ModelDetector,
    "autoencoder": ModelDetector,
    "lstm": ModelDetector,
    "dbscan": ModelDetector,
    "kmeans": ModelDetector,
    **dict.fromkeys(SERIES, SeriesPaneDetector),
}


def new_detector(config: DetectorConfig, dedup_ms: int) -> PaneDetector:
    """A fresh detector for one key.

    Raises:
        ValueError: unknown strategy or metric, or parameters of a wrong type; the message names the detector.
    """
    try:
        kind = STRATEGIES[config.strategy]
    except KeyError:
        raise ValueError(f"detector {config.id!r}: strategy {config.strategy!r} is not one of {', '.join(sorted(STRATEGIES))}") from None
    return kind(config, dedup_ms)  # type: ignore[call-arg]


RULES: dict[str, type[RuleDetector]] = {
    "aggregation": AggregationDetector,
    "composite": CompositeDetector,
    "cep": CepDetector,
    "user_profile": UserProfileDetector,
    "access_pattern": AccessPatternDetector,
    "entity_relationship": EntityRelationshipDetector,
}
"""The rules with memory by strategy: fed with all panes of an application and with the facts that the hop makes for them."""


def new_rule(config: DetectorConfig, dedup_ms: int) -> RuleDetector:
    """A fresh rule for one application. Raises ValueError as `new_detector` does."""
    return RULES[config.strategy](config, dedup_ms)  # type: ignore[call-arg]
