"""A series detector on a metric: blocks of `evaluation_s` become values, verdicts become detections."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from sentinel.config.runtime import DetectorConfig
from sentinel.detection.detection import Detection, severity_of
from sentinel.detection.episode import Episode
from sentinel.detection.metrics import Model, merge_histograms, metric_spec, quantile_ms
from sentinel.detection.sentences import duration, with_unit
from sentinel.detection.series.registry import SeriesJudge
from sentinel.detection.series.verdict import Verdict
from sentinel.detection.state import check_version
from sentinel.panes import Pane

STATE_VERSION = 1
MAX_EMPTY_BLOCKS = 30
SAMPLES = 3
_HOW = {
    "auto": "it lies where it never was, or is not what was forecast",
    "robust": "it is far from the median of the past",
    "seasonal": "it is unusual for this hour of this day",
    "change_point": "its level has moved",
    "flat_line": "it stands still",
    "arima": "it is far from the ARIMA forecast",
    "prophet": "it is far from the Prophet forecast",
}


class SeriesPaneDetector:
    """One key. The value of a block is judged when the next block begins; a block without calls is 0 for rates, and a gap for the rest."""

    def __init__(self, config: DetectorConfig, dedup_ms: int = 300_000) -> None:
        self.config, self.dedup_ms = config, dedup_ms
        self.spec = metric_spec(config.metric)
        self.judge = SeriesJudge(config)
        self.tuning = self.judge.tuning
        self.fixed_severity = next((action.severity for action in config.actions if action.severity), None)
        self.episode = Episode()
        self._block_ms = round(self.tuning.evaluation_s * 1000)
        self._block, self._first_ms = -1, 0
        self._sums = [0, 0]
        self._histogram: list[int] = []
        # The events with the largest values of the block: [-value, id].
        self._peaks: list[list[Any]] = []

    def on_pane(self, pane: Pane) -> Detection | None:
        """Take one pane (event-time order); the detection that is due, if any."""
        block, due = pane.start_ms // self._block_ms, None
        if block != self._block:
            if self._block >= 0:
                due = self._close(block)
            else:
                self._first_ms = pane.start_ms
            self._block, self._sums, self._histogram, self._peaks = block, [0, 0], [], []
        sample = self.spec.extract(pane)
        self._sums[0] += sample.calls
        self._sums[1] += sample.total
        if sample.event and sample.calls:
            self._peaks = sorted([*self._peaks, [-sample.peak, sample.event]])[:SAMPLES]
        if self.spec.model is Model.QUANTILE and pane.latency_hist:
            self._histogram = merge_histograms((self._histogram, pane.latency_hist))
        return due

    def on_time(self, now_ms: int) -> Detection | None:
        return None

    def next_timer(self) -> int | None:
        return None

    def _close(self, next_block: int) -> Detection | None:
        """Judge the block that is over, and for rates the empty ones behind it; the first detection that this makes due."""
        count, total = self._sums
        rate = self.spec.model is Model.RATE
        due: Detection | None = None
        # A rate is only known of a block that was seen from its start.
        whole = not rate or self._block * self._block_ms >= self._first_ms
        if whole and (count >= self.tuning.min_count if count or rate else False):
            due = self._evaluate(self._block, self._value(count, total), count)
        if rate:
            for block in range(self._block + 1, min(next_block, self._block + 1 + MAX_EMPTY_BLOCKS)):
                due = self._evaluate(block, 0.0, 0) or due
        return due

    def _value(self, count: int, total: int) -> float:
        if self.spec.model is Model.RATE:
            return total / self.spec.scale / self.tuning.evaluation_s
        if self.spec.model is Model.QUANTILE:
            value = quantile_ms(self._histogram, 0.95)
            return value if math.isfinite(value) else 0.0
        return total / count / self.spec.scale

    def _evaluate(self, block: int, value: float, count: int) -> Detection | None:
        start_ms = block * self._block_ms
        now_ms, tuning, episode = start_ms + self._block_ms, self.tuning, self.episode
        verdict = self.judge.update(start_ms, value)
        if not verdict.anomalous:
            episode.calm()
            return None
        if episode.lasted_ms(now_ms) >= tuning.adapt_after_s * 1000:
            # After long persistence the new state is the normal one.
            self.judge, self.episode = SeriesJudge(self.config), Episode()
            return None
        if not episode.anomalous(start_ms, now_ms, tuning.consecutive, round(tuning.repeat_s * 1000), self.dedup_ms):
            return None
        return self._detection(verdict, value, count, start_ms, now_ms)

    def _detection(self, verdict: Verdict, value: float, count: int, start_ms: int, now_ms: int) -> Detection:
        name = self.spec.name
        usual = "" if verdict.expected == value else f", expected about {with_unit(name, verdict.expected)}"
        return Detection(
            observed=value,
            baseline=verdict.expected,
            low=math.nan,
            high=math.nan,
            deviation=math.nan,
            threshold=math.nan,
            score=verdict.score,
            severity=self.episode.escalate(self.fixed_severity or severity_of(verdict.score)),
            window_start_ms=start_ms,
            window_end_ms=now_ms,
            detected_ms=now_ms,
            anchor_ms=self.episode.anchor_ms,
            count=count,
            samples=[event for _, event in self._peaks],
            sentence=f"{name} was {with_unit(name, value)} over {duration(self.tuning.evaluation_s)}{usual}: {_HOW[self.config.strategy]}",
        )

    def to_state(self) -> list[Any]:
        return [
            STATE_VERSION,
            self.episode,
            [self._block, self._first_ms, self._sums, self._histogram, self._peaks],
            self.judge.detector.to_state(),
        ]

    def from_state(self, state: Any) -> None:
        episode, place, detector = check_version(state, STATE_VERSION, type(self).__name__)
        self.episode = msgspec.convert(episode, Episode)
        self._block, self._first_ms, sums, histogram, peaks = place
        self._sums, self._histogram, self._peaks = list(sums), list(histogram), [list(peak) for peak in peaks]
        self.judge.detector.from_state(detector)
