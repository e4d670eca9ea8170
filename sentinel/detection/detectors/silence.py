"""Silence: an application that should speak does not."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from sentinel.config.runtime import DetectorConfig
from sentinel.detection.detection import Detection, severity_of, tail_score
from sentinel.detection.episode import Episode
from sentinel.detection.state import check_version
from sentinel.detection.tuning import SENSITIVITY, tuning_of
from sentinel.panes import Pane

STATE_VERSION = 1
MAX_WAIT_S = 6 * 3600.0
GRID_MS = 1_000
"""Deadlines lie on whole seconds, where panes end: whether a pane came before a deadline then never depends on the watermark's steps."""
GAP_FACTOR = 3.0
"""Traffic that pauses by itself (batches, sessions) must be silent for this multiple of its longest recent pause."""


class SilenceDetector:
    """No event for max(`minimum_s`, `expected_events` / learned rate, 3 x longest recent pause) of event time.

    The rate forgets with half-life `window_s`. At a Poisson rate r a gap of k / r has probability exp(-k), from which the score is made.
    Repeats come every `repeat_s` while the silence lasts, up to `adapt_after_s`: then the application counts as gone, until it speaks.
    """

    def __init__(self, config: DetectorConfig, dedup_ms: int = 300_000) -> None:
        self.tuning = tuning_of(config)
        self.fixed_severity = next((action.severity for action in config.actions if action.severity), None)
        self.dedup_ms = dedup_ms
        self.episode = Episode()
        self._first_ms = self._last_ms = 0
        self._events = self._seconds = self._pause = 0.0
        self._seen = 0
        self._sample = ""
        self._gone = False
        self._next_ms: int | None = None

    def on_pane(self, pane: Pane) -> Detection | None:
        if pane.events <= 0:
            return None
        start_ms, end_ms = pane.start_ms, pane.start_ms + pane.width_ms
        if self._last_ms and not self._gone and end_ms > self._last_ms:
            elapsed = (end_ms - self._last_ms) / 1000.0
            quiet = max(0.0, elapsed - pane.width_ms / 1000.0)
            # A silence that was reported is no pause to learn from.
            learned = min(elapsed, 1.0) if self.episode.streak else elapsed
            fade: float = 0.5 ** (learned / self.tuning.window_s)
            self._events *= fade
            self._seconds = self._seconds * fade + learned
            self._pause *= fade
            if not self.episode.streak and quiet > self._pause:
                self._pause = quiet
        elif self._gone or not self._last_ms:
            self._first_ms, self._seen = start_ms, 0
            self._events, self._seconds, self._pause = 0.0, pane.width_ms / 1000.0, 0.0
            self._gone = False
        self._events += pane.events
        self._seen += pane.events
        self._last_ms = max(self._last_ms, end_ms)
        self._sample = pane.first_event or self._sample
        self.episode.calm()
        self._next_ms = self._deadline_ms()
        return None

    def on_time(self, now_ms: int) -> Detection | None:
        """The detection that is due at `now_ms`: made for the first time of its deadline, whenever that is noticed."""
        due_ms = self._next_ms
        if due_ms is None or now_ms < due_ms:
            return None
        silent_ms = due_ms - self._last_ms
        if silent_ms > self.tuning.adapt_after_s * 1000 + self._wait_ms():
            self._gone, self._next_ms = True, None
            return None
        self._next_ms = due_ms + max(1, round(self.tuning.repeat_s * 1000 / GRID_MS)) * GRID_MS
        self.episode.anomalous(self._last_ms, due_ms, 1, 0, self.dedup_ms)
        rate = self._events / self._seconds
        surprise = rate * silent_ms / 1000.0
        score = round(1.0 - math.exp(-surprise / 8.0), 4) if surprise > 0.0 else tail_score(0.0)
        return Detection(
            observed=0.0,
            baseline=rate,
            low=rate / SENSITIVITY[self.tuning.sensitivity],
            high=math.inf,
            deviation=round(silent_ms / 1000.0, 3),
            threshold=round(self._wait_ms() / 1000.0, 3),
            score=score,
            severity=self.episode.escalate(self.fixed_severity or severity_of(score)),
            window_start_ms=self._last_ms,
            window_end_ms=due_ms,
            detected_ms=due_ms,
            anchor_ms=self.episode.anchor_ms,
            samples=[self._sample] if self._sample else [],
            learned_s=min(self.tuning.window_s, self._seconds),
        )

    def next_timer(self) -> int | None:
        return self._next_ms

    def _wait_ms(self) -> int:
        tuning = self.tuning
        rate = self._events / self._seconds
        wait_s = max(tuning.minimum_s, tuning.expected_events / rate, GAP_FACTOR * self._pause)
        return round(min(MAX_WAIT_S, wait_s * SENSITIVITY[tuning.sensitivity]) * 1000)

    def _deadline_ms(self) -> int | None:
        if self._last_ms - self._first_ms < self.tuning.warmup_s * 1000 or self._seen < self.tuning.expected_events:
            return None
        return -(-(self._last_ms + self._wait_ms()) // GRID_MS) * GRID_MS

    def to_state(self) -> list[Any]:
        return [
            STATE_VERSION,
            self.episode,
            [self._first_ms, self._last_ms, self._events, self._seconds, self._pause, self._seen, self._sample, self._gone, self._next_ms],
        ]

    def from_state(self, state: Any) -> None:
        episode, fields = check_version(state, STATE_VERSION, type(self).__name__)
        self.episode = msgspec.convert(episode, Episode)
        (
            self._first_ms, self._last_ms, self._events, self._seconds, self._pause, self._seen, self._sample, self._gone, self._next_ms,
        ) = fields  # fmt: skip
