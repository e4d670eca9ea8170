"""Threshold on a window: a metric over the last seconds beyond a fixed limit, several times in a row."""

from __future__ import annotations

from typing import Any

import msgspec

from sentinel.config.runtime import DetectorConfig
from sentinel.detection.comparisons import CONDITIONS
from sentinel.detection.detection import Detection
from sentinel.detection.episode import Episode
from sentinel.detection.metrics import MetricSpec, Model, merge_histograms, metric_spec, quantile_ms
from sentinel.detection.state import check_version
from sentinel.detection.tuning import LEVEL_OF_METRIC, Tuning
from sentinel.detection.windows import SlidingWindow
from sentinel.panes import HISTOGRAM_BUCKETS, Pane

STATE_VERSION = 1
HISTOGRAM_PARTS = 6
SCORE = 0.9
"""A broken limit is certain; how bad it is, the configured severity says."""


class ThresholdDetector:
    """Compares a sliding window of `window_s` (default: each second) with `value`.

    Fires after `consecutive` panes in a row, then every `repeat_s` while it lasts.
    """

    def __init__(self, config: DetectorConfig, dedup_ms: int = 300_000, spec: MetricSpec | None = None) -> None:
        self.spec = spec or metric_spec(config.metric)
        params = config.params
        level = LEVEL_OF_METRIC.get(config.metric or "", "application")
        self.tuning = Tuning(
            level=level,  # type: ignore[arg-type]
            consecutive=int(params.get("consecutive", 1)),
            min_count=int(params.get("minimum_events", 1)),
            evaluation_s=float(params.get("window_s") or 1.0),
        )
        try:
            self.limit = float(params["value"])
            self._beyond = CONDITIONS[params.get("condition", "greater_than")][0]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"detector {config.id!r}: a threshold needs a number `value` and a `condition` of {', '.join(CONDITIONS)}; found {params!r}"
            ) from error
        self.severity = config.severity
        self.dedup_ms = dedup_ms
        self.episode = Episode()
        self.window = SlidingWindow(round(self.tuning.evaluation_s * 1000))
        # For percentiles: [start_ms, histogram] of `HISTOGRAM_PARTS` parts of the window.
        self._part_ms = max(1000, self.window.length_ms // HISTOGRAM_PARTS)
        self._histograms: list[list[Any]] = []

    def on_pane(self, pane: Pane) -> Detection | None:
        window, now_ms = self.window, pane.end_ms
        window.push(pane.start_ms, now_ms, self.spec.read(pane))
        if self.spec.model is Model.RATE:
            observed = window.total / self.spec.scale / self.tuning.evaluation_s
        elif self.spec.model is Model.QUANTILE:
            observed = self._percentile_ms(pane)
        elif window.count:
            observed = window.total / window.count / self.spec.scale
        else:
            return None
        if window.count < self.tuning.min_count or not self._beyond(observed, self.limit):
            self.episode.calm()
            return None
        if not self.episode.anomalous(pane.start_ms, now_ms, self.tuning.consecutive, round(self.tuning.repeat_s * 1000), self.dedup_ms):
            return None
        return Detection(
            observed=observed,
            baseline=float("nan"),
            low=float("nan"),
            high=float("nan"),
            deviation=round(observed / self.limit, 3) if self.limit else 0.0,
            threshold=self.limit,
            score=SCORE,
            severity=self.severity,
            window_start_ms=window.start_ms,
            window_end_ms=now_ms,
            detected_ms=now_ms,
            anchor_ms=self.episode.anchor_ms,
            count=window.count,
            samples=window.samples(),
        )

    def _percentile_ms(self, pane: Pane) -> float:
        """95th percentile of the window, which here begins with a whole part."""
        parts, part_ms = self._histograms, pane.start_ms // self._part_ms * self._part_ms
        if not parts or parts[-1][0] != part_ms:
            parts.append([part_ms, [0] * HISTOGRAM_BUCKETS])
        parts[-1][1] = merge_histograms((parts[-1][1], pane.latency_hist))
        while parts[0][0] + self.window.length_ms < pane.end_ms:
            parts.pop(0)
        return quantile_ms(merge_histograms(histogram for _, histogram in parts), 0.95)

    def on_time(self, now_ms: int) -> Detection | None:
        return None

    def next_timer(self) -> int | None:
        return None

    def to_state(self) -> list[Any]:
        return [STATE_VERSION, self.episode, self.window.to_state(), self._histograms]

    def from_state(self, state: Any) -> None:
        episode, window, histograms = check_version(state, STATE_VERSION, type(self).__name__)
        self.episode = msgspec.convert(episode, Episode)
        self.window.restore(window)
        self._histograms = [list(part) for part in histograms]
