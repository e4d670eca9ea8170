"""The windowed detectors of one key, run together: what they have in common is done once a pane, and what cannot fire is not looked at.

A *lane* is the detectors that test the same quantity over the same length, whatever they compare it with. They share the window, the sums of the current
block and its latency histogram. A baseline changes only when a block is over; so at each turn every detector says below which reading of the
window nothing can come of an evaluation until the next turn (`WindowedDetector.calm_below`), and a pane that stays below the least of these
is done. Detectors in an episode, or whose evidence was closed in the middle of a block, are *awake*: they go pane by pane as they would alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from time import perf_counter
from typing import Any

from sentinel.config.runtime import DetectorConfig
from sentinel.detection.block_sums import add_buckets
from sentinel.detection.detection import Detection
from sentinel.detection.meter import Spent, add
from sentinel.detection.metrics import Model
from sentinel.detection.slots import Slot
from sentinel.detection.windowed import WindowedDetector
from sentinel.panes import Pane

Found = tuple[DetectorConfig, str, Detection]
"""Detector, model (empty at application level), detection."""
Failure = tuple[Slot, Exception]


def takes_lane(detector: Any) -> bool:
    """Whether a detector takes its panes as `WindowedDetector` does, so that it can share a window with others."""
    return isinstance(detector, WindowedDetector) and type(detector).on_pane is WindowedDetector.on_pane


def lanes_of(detectors: Iterable[Any]) -> list[list[WindowedDetector]]:
    """The detectors that belong together, group by group; those that take no lane are passed over."""
    groups: dict[tuple[Any, ...], list[WindowedDetector]] = {}
    for detector in detectors:
        if takes_lane(detector):
            window = detector.window
            key = (type(window), window.length_ms, detector.spec.read, detector.spec.model is Model.RATE)
            groups.setdefault(key, []).append(detector)
    return list(groups.values())


def share_windows(detectors: Iterable[Any]) -> None:
    """Let the detectors of a lane have one window: it is pushed, kept and stored once.

    To be called whenever the detectors of a key change; the window that has seen most is the one that stays.
    """
    for group in lanes_of(detectors):
        window = max(group, key=lambda detector: detector.window.end_ms).window
        for detector in group:
            detector.window, detector.owns_window = window, detector is group[0]


class KeyLanes:
    """All detectors of one key. To be made anew whenever one of them is replaced (their windows are shared before, see `share_windows`)."""

    def __init__(self, slots: list[Slot]) -> None:
        by_detector = {id(slot.detector): slot for slot in slots}
        groups = lanes_of(slot.detector for slot in slots)
        self.lanes = [Lane([by_detector[id(detector)] for detector in group]) for group in groups]
        self.singles = [slot for slot in slots if not takes_lane(slot.detector)]

    def on_pane(self, pane: Pane, model: str, found: list[Found]) -> list[Failure]:
        """Take one pane (event-time order); detections are added to `found`. Returned: detectors that threw."""
        failures: list[Failure] = []
        for lane in self.lanes:
            lane.on_pane(pane, model, found, failures)
        for slot in self.singles:
            _run_single(slot, pane, model, found, failures)
        return failures

    def on_pane_metered(self, pane: Pane, model: str, found: list[Found], spent: Spent) -> list[Failure]:
        """As `on_pane`, and says how long each detector took; those of a lane share its time."""
        failures: list[Failure] = []
        for lane in self.lanes:
            began = perf_counter()
            lane.on_pane(pane, model, found, failures)
            share = (perf_counter() - began) / len(lane.slots)
            for slot in lane.slots:
                add(spent, slot.config, share)
        for slot in self.singles:
            began = perf_counter()
            _run_single(slot, pane, model, found, failures)
            add(spent, slot.config, perf_counter() - began)
        return failures


def _run_single(slot: Slot, pane: Pane, model: str, found: list[Found], failures: list[Failure]) -> None:
    try:
        detection = slot.detector.on_pane(pane)
    except Exception as error:
        failures.append((slot, error))
        return
    if detection is not None:
        found.append((slot.config, model, detection))


class Lane:
    """Detectors of one window. Made in the middle of a block, it lets them finish the block one by one."""

    def __init__(self, slots: list[Slot]) -> None:
        self.slots = slots
        self._pairs: list[tuple[Slot, Any]] = [(slot, slot.detector) for slot in slots]
        first: WindowedDetector = self._pairs[0][1]
        self._window = first.window
        self._read = first.spec.read
        self._rate = first.spec.model is Model.RATE
        self._block_ms = first.block_ms
        self._histogram_wanted = any(detector.by_block for _, detector in self._pairs)
        self._block = -1
        self._sums = [0, 0, 0, 0]
        self._histogram: list[int] = []
        for _, detector in self._pairs:
            detector.detach()
        self._awake = list(self._pairs)
        # (reading is in the log domain, calm below, slot, detector)
        self._followers: list[tuple[bool, float, Slot, Any]] = []
        self._log_limit = self._raw_limit = math.inf

    def on_pane(self, pane: Pane, model: str, found: list[Found], failures: list[Failure]) -> None:
        """Take one pane; see `KeyLanes.on_pane`."""
        start_ms = pane.start_ms
        end_ms = start_ms + pane.width_ms
        block = start_ms // self._block_ms
        if block != self._block:
            self._turn(block, start_ms, end_ms, model, found, failures)
        window = self._window
        sample = self._read(pane)
        window.push(start_ms, end_ms, sample)
        count, log_sum, log_sumsq, total, _, _ = sample
        sums = self._sums
        sums[0] += count
        sums[1] += log_sum
        sums[2] += log_sumsq
        sums[3] += total
        if self._histogram_wanted and pane.latency_hist:
            add_buckets(self._histogram, pane.latency_hist)
        if self._awake:
            self._run_awake(pane, sample, model, found, failures)
        calls = window.count
        if calls > 0 and (
            not window.log_sum / calls < self._log_limit or not (window.total if self._rate else window.total / calls) < self._raw_limit
        ):
            self._evaluate(start_ms, end_ms, model, found, failures)

    def _turn(self, block: int, start_ms: int, end_ms: int, model: str, found: list[Found], failures: list[Failure]) -> None:
        """A block is over: its sums are learned, and every detector says what of the next one it need not see."""
        self._block = block
        self._sums = [0, 0, 0, 0]
        self._histogram = []
        self._awake, self._followers = [], []
        self._log_limit = self._raw_limit = math.inf
        latest_ms = (block + 1) * self._block_ms + end_ms - start_ms
        for slot, detector in self._pairs:
            if detector.block == block:
                self._awake.append((slot, detector))
                continue
            try:
                due = detector.turn_block(block, start_ms, end_ms)
                calm_below = detector.calm_below(end_ms, latest_ms)
            except Exception as error:
                failures.append((slot, error))
                continue
            if due is not None:
                found.append((slot.config, model, due))
            detector.attach(self._sums, self._histogram)
            if calm_below == math.inf:
                continue
            if calm_below == -math.inf:
                self._awake.append((slot, detector))
            else:
                self._follow(detector.reads_logs, calm_below, slot, detector)

    def _follow(self, reads_logs: bool, calm_below: float, slot: Slot, detector: Any) -> None:
        self._followers.append((reads_logs, calm_below, slot, detector))
        if reads_logs:
            self._log_limit = min(self._log_limit, calm_below)
        else:
            self._raw_limit = min(self._raw_limit, calm_below)

    def _run_awake(self, pane: Pane, sample: Any, model: str, found: list[Found], failures: list[Failure]) -> None:
        sums = self._sums
        for slot, detector in self._awake:
            try:
                if detector.sums is not sums:
                    detector.add(sample, pane)
                due = None if detector.by_block else detector.evaluate(pane.start_ms, pane.start_ms + pane.width_ms)
            except Exception as error:
                failures.append((slot, error))
                continue
            if due is not None:
                found.append((slot.config, model, due))

    def _evaluate(self, start_ms: int, end_ms: int, model: str, found: list[Found], failures: list[Failure]) -> None:
        """A reading that may matter to some followers. Those that it does matter to stay awake until the next block."""
        window = self._window
        calls = window.count
        log_reading, raw_reading = window.log_sum / calls, window.total if self._rate else window.total / calls
        woken = False
        for reads_logs, calm_below, slot, detector in self._followers:
            if (log_reading if reads_logs else raw_reading) < calm_below:
                continue
            try:
                due = detector.evaluate(start_ms, end_ms)
            except Exception as error:
                failures.append((slot, error))
                continue
            if due is not None:
                found.append((slot.config, model, due))
            if detector.episode.streak or detector.sums is not self._sums:
                self._awake.append((slot, detector))
                woken = True
        if woken:
            awake = {id(slot) for slot, _ in self._awake}
            still = [follower for follower in self._followers if id(follower[2]) not in awake]
            self._followers, self._log_limit, self._raw_limit = [], math.inf, math.inf
            for follower in still:
                self._follow(*follower)
