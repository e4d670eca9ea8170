"""Settings that all detectors share which compare a metric with its own past."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sentinel.config.types import ConfigModel, Duration, PositiveDuration, PositiveInt

Level = Literal["application", "model"]
Sensitivity = Literal["low", "medium", "high"]


class LearningParams(ConfigModel):
    """What all detectors share that compare a metric with its own past. What is left out has the default of the strategy and metric."""

    window: PositiveDuration | None = Field(default=None, description="Half-life of the learned baseline")
    evaluation: PositiveDuration | None = Field(
        default=None, description="Length of the window that is judged, and of the blocks that are learned"
    )
    warmup: Duration | None = Field(default=None, description="How much past there must be before the first judgement")
    min_evaluations: PositiveInt | None = Field(default=None, description="Learned blocks before the first judgement")
    sensitivity: Sensitivity | None = Field(default=None, description="high judges stricter than medium, low milder")
    direction: Literal["up", "down", "both"] | None = None
    min_ratio: float | None = Field(default=None, ge=1, description="Smallest multiple of the baseline that can be an anomaly")
    minimum: float | None = Field(default=None, description="Smallest observed value that can be an anomaly, in the unit of the metric")
    min_count: int | None = Field(default=None, ge=0, description="Calls that the judged window must hold (errors for error_rate)")
    consecutive: PositiveInt | None = Field(default=None, description="Judgements in a row that must be beyond the threshold")
    repeat: PositiveDuration | None = Field(default=None, description="Least time between two detections of a lasting anomaly")
    adapt_after: PositiveDuration | None = Field(default=None, description="An anomaly that lasts this long becomes the new usual")
    level: Level | None = Field(default=None, description="What has a baseline of its own")
