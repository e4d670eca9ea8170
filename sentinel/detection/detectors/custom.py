"""Strategy `custom`: a detector of another package at one key, kept from harming anything but itself."""

from __future__ import annotations

import math
from time import perf_counter
from typing import Any

import msgspec

from sentinel.config.plugins import load_plugin
from sentinel.config.runtime import DetectorConfig
from sentinel.detection.custom import CustomDetector, Finding
from sentinel.detection.detection import Detection, severity_of
from sentinel.detection.episode import Episode
from sentinel.detection.failures import too_slow
from sentinel.detection.state import check_version
from sentinel.detection.tuning import Tuning
from sentinel.panes import Pane

STATE_VERSION = 1
MAX_STATE_BYTES = 65_536


class PluginStateError(ValueError):
    """A detector's state cannot be kept, or not be taken over."""


class PluginDetector:
    """Feeds the detector, and makes detections of its findings."""

    def __init__(self, config: DetectorConfig, dedup_ms: int = 300_000) -> None:
        params = config.params
        self.config, self.dedup_ms = config, dedup_ms
        self.tuning = Tuning(
            level=params.get("level", "application"), consecutive=params.get("consecutive", 1), repeat_s=params.get("repeat_s", 10.0)
        )
        try:
            self._own: CustomDetector = load_plugin(params["detector"])(params.get("params") or {})
        except Exception as error:
            raise ValueError(f"detector {config.id!r}: {error}") from error
        self._severity = next((action.severity for action in config.actions if action.severity), None)
        self._trouble: PluginStateError | None = None
        self.episode = Episode()
        self.timeout_s = 5.0

    def on_pane(self, pane: Pane) -> Detection | None:
        """Judge one second."""
        if self._trouble is not None:
            # The state could not be written; said here, where it is isolated and counted.
            trouble, self._trouble = self._trouble, None
            raise trouble
        began = perf_counter()
        found = self._own.judge(pane)
        if (slow := too_slow(perf_counter() - began, "one second", self.timeout_s)) is not None:
            raise slow
        if found is None:
            self.episode.calm()
            return None
        if not isinstance(found, Finding):
            raise TypeError(f"judge returned {type(found).__name__}, expected a Finding or None")
        tuning, now_ms = self.tuning, pane.end_ms
        if not self.episode.anomalous(pane.start_ms, now_ms, tuning.consecutive, round(tuning.repeat_s * 1000), self.dedup_ms):
            return None
        score = min(1.0, max(0.0, float(found.score))) if math.isfinite(found.score) else 0.0
        return Detection(
            observed=float(found.observed),
            baseline=float(found.expected),
            low=float(found.low),
            high=float(found.high),
            deviation=math.nan,
            threshold=math.nan,
            score=score,
            severity=self.episode.escalate(self._severity or severity_of(score)),
            window_start_ms=self.episode.started_ms,
            window_end_ms=now_ms,
            detected_ms=now_ms,
            anchor_ms=self.episode.anchor_ms,
            count=pane.calls,
            samples=[str(event) for event in found.samples][:10] or ([pane.first_event] if pane.first_event else []),
            sentence=str(found.sentence)[:1000] or self.config.id,
        )

    def on_time(self, now_ms: int) -> Detection | None:
        """A detector of somebody's own is judged when a second has traffic."""
        return None

    def next_timer(self) -> int | None:
        """Never."""
        return None

    def to_state(self) -> list[Any]:
        """The detector's own state as bytes; one that cannot be written is left out and said with the next second."""
        try:
            own = msgspec.msgpack.encode(self._own.state())
            if len(own) > MAX_STATE_BYTES:
                raise ValueError(f"{len(own):,} bytes")
        except Exception as error:
            self._trouble = PluginStateError(f"its state cannot be kept (at most {MAX_STATE_BYTES:,} bytes of plain values): {error}")
            own = b""
        return [STATE_VERSION, self.episode, own, str(self._trouble or "")]

    def from_state(self, state: Any) -> None:
        """Take over a state of `to_state`; a detector that no longer understands its own begins afresh, and that is said."""
        episode, own, trouble = check_version(state, STATE_VERSION, type(self).__name__)
        self.episode = msgspec.convert(episode, Episode)
        self._trouble = PluginStateError(trouble) if trouble else None
        if own:
            try:
                self._own.restore(msgspec.msgpack.decode(own))
            except Exception as error:
                self._trouble = PluginStateError(f"it cannot take over its stored state: {type(error).__name__}: {error}")
