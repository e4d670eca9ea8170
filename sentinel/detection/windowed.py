"""What the z-score, moving-average and percentile detectors share: blocks that are learned late, episodes, warm-up, verdicts.

Blocks of `evaluation_s` (aligned to event time) are learned only once they are `PENDING_BLOCKS` old and no evaluation since was
anomalous: trouble that takes some seconds to be seen never enters the baseline. The blocks that wait are, together with the current one,
the *long window* (up to a minute): where calls are few, it finds what the short one cannot. It counts only while the short
window points the same way, so that an alarm ends when the trouble does.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import msgspec

from sentinel.config.runtime import DetectorConfig
from sentinel.detection.baselines import Assessment, Baseline, LogMeanBaseline
from sentinel.detection.block_sums import BlockSums, WaitingBlocks
from sentinel.detection.detection import Detection, severity_of, tail_score
from sentinel.detection.episode import Episode
from sentinel.detection.metrics import MetricSpec, Model, metric_spec, quantile_ms
from sentinel.detection.state import check_version
from sentinel.detection.tuning import Tuning, tuning_of
from sentinel.detection.windows import DecayingWindow, SlidingWindow
from sentinel.panes import Pane

MAX_EMPTY_BLOCKS = 30
STATE_VERSION = 1


class WindowedDetector(BlockSums, ABC):
    """Base of the detectors that test a window of a metric against learned blocks. One instance a key."""

    uses_long_window = True

    def __init__(self, config: DetectorConfig, dedup_ms: int = 300_000, spec: MetricSpec | None = None) -> None:
        self.tuning: Tuning = tuning_of(config)
        self.spec: MetricSpec = spec or metric_spec(config.metric)
        self.fixed_severity = next((action.severity for action in config.actions if action.severity), None)
        self.dedup_ms = dedup_ms
        tuning = self.tuning
        self.block_ms = round(tuning.evaluation_s * 1000)
        self._decay = 0.5 ** (tuning.evaluation_s / tuning.window_s)
        self._threshold, self._min_ratio = tuning.effective_threshold, tuning.effective_ratio
        self._share = self.spec.model is Model.SHARE
        super().__init__(by_block=self.spec.model is Model.QUANTILE)
        self._extendable = self.spec.model in (Model.LOG_MEAN, Model.SHARE) and self.uses_long_window
        self._read = self.spec.read
        # Upwards, nothing below this multiple of the baseline can be anomalous in either window: most evaluations end there.
        self._least_ratio = 0.0 if tuning.direction != "up" or self.spec.model is Model.VALUE else self.least_ratio()
        self._is_warm = False
        self.baseline: Baseline = self.new_baseline()
        self.window: SlidingWindow | DecayingWindow = self.new_window()
        # False where another detector of the key stores the window: see `lanes.share_windows`.
        self.owns_window = True
        self.episode = Episode()
        self.assessed: Assessment | None = None  # the last evaluation, whether anomalous or not; no part of the state
        self.block, self._first_ms, self._learned = -1, 0, 0
        self._clean = False
        self._pending = WaitingBlocks()

    @abstractmethod
    def new_baseline(self) -> Baseline:
        """The baseline that this strategy learns."""

    def new_window(self) -> SlidingWindow | DecayingWindow:
        return SlidingWindow(self.block_ms)

    def least_ratio(self) -> float:
        """The smallest observed multiple of the baseline that `evaluate` could find anomalous upwards."""
        return math.sqrt(self._min_ratio) if self._extendable else self._min_ratio

    def is_anomalous(self, found: Assessment) -> bool:
        """Sigma and effect size on the configured side."""
        direction = self.tuning.direction
        if direction != "down" and found.sigma >= self._threshold and found.ratio >= self._min_ratio:
            return True
        return direction != "up" and found.sigma <= -self._threshold and found.ratio * self._min_ratio <= 1.0

    def on_pane(self, pane: Pane) -> Detection | None:
        """Take one pane (event-time order); the detection that is due, if any."""
        start_ms = pane.start_ms
        end_ms = start_ms + pane.width_ms
        block = start_ms // self.block_ms
        due: Detection | None = None
        if block != self.block:
            due = self.turn_block(block, start_ms, end_ms)
        sample = self._read(pane)
        self.window.push(start_ms, end_ms, sample)
        self.add(sample, pane)
        return due if self.by_block else self.evaluate(start_ms, end_ms)

    @property
    def reads_logs(self) -> bool:
        """Whether `calm_below` is about the mean logarithm of the window's calls; otherwise their mean or, of rates, their total."""
        return isinstance(self.baseline, LogMeanBaseline)

    def calm_below(self, now_ms: int, latest_ms: int) -> float:
        """Until the next block: the reading of the window below which `evaluate` would find nothing and change nothing.

        -inf: it must see every pane; inf: none. `latest_ms` is after the last evaluation of the block.
        """
        if self.by_block:
            return math.inf
        if not (self._is_warm or self._warm(now_ms)):
            tuning = self.tuning
            late = self._learned >= tuning.min_evaluations and latest_ms - self._first_ms >= tuning.warmup_s * 1000
            return -math.inf if late else math.inf
        if self.episode.streak or not self._least_ratio:
            return -math.inf
        reading = self.baseline.reading_at(self._least_ratio)
        return -math.inf if math.isnan(reading) else reading

    def on_time(self, now_ms: int) -> Detection | None:
        """Windowed detectors speak only when there is data; silence has a detector of its own."""
        return None

    def next_timer(self) -> int | None:
        return None

    def _warm(self, now_ms: int) -> bool:
        if not self._is_warm:
            # Once warm it stays so, until everything is learned afresh.
            self._is_warm = self._learned >= self.tuning.min_evaluations and now_ms - self._first_ms >= self.tuning.warmup_s * 1000
        return self._is_warm

    def evaluate(self, start_ms: int, now_ms: int) -> Detection | None:
        """Test the window; the detection that is due, if any."""
        window = self.window
        count: float = window.count
        if count <= 0 or not (self._is_warm or self._warm(now_ms)):
            return None
        log_sum: float = window.log_sum
        total: float = window.total
        if self._least_ratio and self.baseline.ratio(count, log_sum, total) < self._least_ratio:
            if self.episode.streak and self.episode.calm():
                self._close_evidence()
            return None
        found = self.assessed = self.baseline.assess(count, log_sum, total)
        enough = (total if self._share else count) >= self.tuning.min_count
        anomalous = enough and self.is_anomalous(found) and self._above_floor(count, total)
        window_start: int | None = None
        if not anomalous and self._extendable and abs(found.sigma) >= 1.0:
            pending, sums = self._pending.sums, self.sums
            long = (pending[0] + sums[0], pending[1] + sums[1], pending[2] + sums[3])
            if (long[2] if self._share else long[0]) >= self.tuning.min_count:
                wider = self.baseline.assess(*long)
                if (
                    wider.sigma * found.sigma > 0
                    and self._goes_on(found, wider)
                    and self.is_anomalous(wider)
                    and self._above_floor(long[0], long[2])
                ):
                    anomalous, found = True, wider
                    count, log_sum, total = long
                    window_start = (self.block - len(self._pending.blocks)) * self.block_ms
        if not anomalous:
            if self.episode.calm():
                self._close_evidence()
            return None
        return self._anomalous(found, count, total, window.start_ms if window_start is None else window_start, start_ms, now_ms)

    def _close_evidence(self) -> None:
        """A reported episode is over: what it left in the long window must not raise it again. (None of it is learned anyway.)"""
        self._pending.empty()
        self.sums = [0, 0, 0, 0]
        self._clean = False

    def _goes_on(self, short: Assessment, long: Assessment) -> bool:
        """Whether the last seconds look more like the long window's trouble than like the usual (half-way on the log scale)."""
        half = max(math.sqrt(self._min_ratio), math.sqrt(long.ratio) if long.sigma > 0 else math.sqrt(1.0 / max(1e-9, long.ratio)))
        return short.ratio >= half if long.sigma > 0 else short.ratio * half <= 1.0

    def _above_floor(self, count: float, total: float) -> bool:
        return self.tuning.minimum <= 0.0 or self._display(count, total) >= self.tuning.minimum

    def _display(self, count: float, total: float) -> float:
        """A window's value in display units."""
        if self.spec.model is Model.RATE:
            return total / self.spec.scale / self.tuning.evaluation_s
        if self.by_block:
            return total / self.spec.scale
        return total / count / self.spec.scale if count else 0.0

    def _anomalous(self, found: Assessment, count: float, total: float, window_start: int, start_ms: int, now_ms: int) -> Detection | None:
        self._clean = False
        tuning = self.tuning
        episode = self.episode
        if episode.streak == 0:
            self._pending.not_to_be_learned()
        if episode.lasted_ms(now_ms) >= tuning.adapt_after_s * 1000:
            self._relearn(now_ms)
            return None
        if not episode.anomalous(start_ms, now_ms, tuning.consecutive, round(tuning.repeat_s * 1000), self.dedup_ms):
            return None
        score = tail_score(abs(found.sigma))
        baseline = self.baseline.expected() / self.spec.scale
        if self.spec.model is Model.RATE:
            baseline /= tuning.evaluation_s
        low, high = self.expected_range(baseline, found)
        return Detection(
            observed=self._display(count, total),
            baseline=baseline,
            low=low,
            high=high,
            deviation=round(self.deviation(found), 3),
            threshold=self.shown_threshold(),
            score=score,
            severity=episode.escalate(self.fixed_severity or severity_of(score)),
            window_start_ms=window_start,
            window_end_ms=now_ms,
            detected_ms=now_ms,
            anchor_ms=episode.anchor_ms,
            count=round(count),
            samples=self.window.samples(),
            learned_s=min(tuning.window_s, self._learned * tuning.evaluation_s),
        )

    def expected_range(self, baseline: float, found: Assessment) -> tuple[float, float]:
        """Lowest and highest value, in display units, that would have passed."""
        if self._share:
            margin = self._threshold * found.spread
            return max(0.0, baseline - margin), min(1.0, max(baseline + margin, baseline * self._min_ratio, self.tuning.minimum))
        factor = max(self._min_ratio, math.exp(min(50.0, self._threshold * found.spread)))
        return baseline / factor, max(baseline * factor, self.tuning.minimum)

    def deviation(self, found: Assessment) -> float:
        return found.sigma

    def shown_threshold(self) -> float:
        return round(self._threshold, 3)

    def turn_block(self, block: int, start_ms: int, now_ms: int) -> Detection | None:
        """Another block begins: learn, and judge what is judged when a block is over."""
        due: Detection | None = None
        if self.block >= 0:
            if self.by_block:
                due = self._evaluate_block()
            whole = self._learned > 0 or bool(self._pending.blocks) or self.block * self.block_ms > self._first_ms
            # A rate is only known of a block that was seen from its start.
            if whole or self.spec.model is not Model.RATE:
                self._enqueue([self._clean, *self.sums], now_ms)
            if self.spec.model is Model.RATE:
                for _ in range(min(MAX_EMPTY_BLOCKS, block - self.block - 1)):
                    self._enqueue([self._clean, 0, 0, 0, 0], now_ms)
        else:
            self._first_ms = start_ms
        self.block = block
        self.sums = [0, 0, 0, 0]
        self.histogram = []
        self._clean = True
        return due

    def _enqueue(self, block: list[Any], now_ms: int) -> None:
        if not (self._is_warm or self._warm(now_ms)):
            self._learn(block)
            return
        if (oldest := self._pending.add(block)) is not None:
            self._learn(oldest)

    def _learn(self, block: list[Any]) -> None:
        if block[0]:
            self.baseline.learn(self._decay, block[1], block[2], block[3], block[4])
            if block[1] or self.spec.model is Model.RATE:
                self._learned += 1

    def _evaluate_block(self) -> Detection | None:
        """A percentile exists once a block is over: put its value where the total is, and test it."""
        count = self.sums[0]
        end_ms = (self.block + 1) * self.block_ms
        if count == 0:
            return None
        total = quantile_ms(self.histogram, 0.95) * self.spec.scale if self.histogram else 0.0
        self.sums = [count, 0, 0, round(total)]
        if count < self.tuning.min_count or total <= 0.0 or not self._warm(end_ms):
            self._clean = self._clean and total > 0.0
            return None
        found = self.baseline.assess(count, 0, total)
        if self.is_anomalous(found) and self._above_floor(count, total):
            return self._anomalous(found, count, total, end_ms - self.block_ms, end_ms - self.block_ms, end_ms)
        self.episode.calm()
        return None

    def _relearn(self, now_ms: int) -> None:
        """After long persistence the new state is the normal one."""
        self.baseline = self.new_baseline()
        self.episode = Episode()
        self._learned, self._first_ms, self._is_warm = 0, now_ms, False
        self._pending = WaitingBlocks()

    def to_state(self) -> list[Any]:
        """Everything that the next pane needs, versioned; msgpack-able."""
        return [
            STATE_VERSION,
            self.baseline,
            self.window.to_state() if self.owns_window else None,
            self.episode,
            [self.block, self._first_ms, self._learned, self._clean],
            self.sums,
            self._pending.blocks,
            self.histogram,
        ]

    def from_state(self, state: Any) -> None:
        """Take over a state made by `to_state` of the same detector configuration; raises StateError on another version."""
        baseline, window, episode, place, sums, pending, histogram = check_version(state, STATE_VERSION, type(self).__name__)
        self.baseline = msgspec.convert(baseline, type(self.baseline))
        if window is not None:
            self.window.restore(window)
        self._is_warm = False
        self.episode = msgspec.convert(episode, Episode)
        self.block, self._first_ms, self._learned, self._clean = place
        self.sums, self.histogram = list(sums), list(histogram)
        self._pending = WaitingBlocks(pending)
