"""The engine of the job on stored minutes: what a configuration would have raised."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from sentinel.anomaly import Anomaly
from sentinel.config.runnable import RULES, TRAINED
from sentinel.config.runtime import DetectorConfig, RuntimeConfig
from sentinel.detection.engine import ShardEngine
from sentinel.detection.failures import FAILURE_DETECTOR
from sentinel.detection.tuning import tuning_of
from sentinel.panes import Pane

MINUTE_MS = 60_000
MINUTE_S = 60.0
_SCALED = ("window_s", "warmup_s", "adapt_after_s", "duration_s")


@dataclass
class Fired:
    """One anomaly with its repeats: first and last seen (RFC 3339), the highest score, how often it was said."""

    anomaly: Anomaly
    last_seen: str
    score: float
    count: int = 1


@dataclass
class Replay:
    """What a replay found. `skipped`: detectors that stored minutes cannot feed, with the reason."""

    fired: list[Fired] = field(default_factory=list)
    minutes: int = 0
    panes: int = 0
    skipped: dict[str, str] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)


def in_minutes(detector: DetectorConfig) -> DetectorConfig:
    """The detector as it can be judged once a minute.

    An evaluation shorter than a minute becomes one, and the times that count evaluations (window, warm-up, adaptation) grow by the
    same factor; judgements in a row, one a second in the job, become minutes. Raises ValueError for parameters that do not fit.
    """
    params: dict[str, Any] = dict(detector.params)
    if detector.strategy == "threshold":
        params["window_s"] = max(MINUTE_S, float(params.get("window_s") or 1.0))
        params["consecutive"] = math.ceil(int(params.get("consecutive", 1)) / MINUTE_S)
        return msgspec.structs.replace(detector, params=params, level="pane")
    if detector.strategy == "silence":
        params["minimum_s"] = max(MINUTE_S, tuning_of(detector).minimum_s)
        return msgspec.structs.replace(detector, params=params)
    tuning = tuning_of(detector)
    factor = MINUTE_S / tuning.evaluation_s
    if factor > 1.0:
        params["evaluation_s"] = MINUTE_S
        for name in _SCALED:
            length = params.get(name, getattr(tuning, name, None))
            if length is not None:
                params[name] = length * factor
    if detector.strategy in ("zscore", "moving_average", "percentile"):
        params["consecutive"] = math.ceil(tuning.consecutive / MINUTE_S)
    params["repeat_s"] = max(MINUTE_S, tuning.repeat_s)
    return msgspec.structs.replace(detector, params=params)


def why_not(detector: DetectorConfig) -> str:
    """Why stored minutes cannot feed the detector; empty when they can."""
    if detector.strategy in TRAINED:
        return "trained models are compared by `sentinel models compare`"
    if detector.strategy in RULES:
        return "it needs single events"
    if detector.level == "user":
        return "rollups do not know users"
    if detector.level == "event" and detector.strategy != "threshold":
        return "it needs single events"
    return "a limit on single events; give it a window" if detector.level == "event" else ""


def replay(minutes: Iterable[list[Pane]], config: RuntimeConfig) -> Replay:
    """Feed minutes, in order, to the job's own engine. Raises ValueError for a detector whose parameters do not fit."""
    result, usable = Replay(), []
    for detector in config.detectors:
        reason = why_not(detector)
        if reason:
            result.skipped[detector.id] = reason
        else:
            usable.append(in_minutes(detector))
    engine = ShardEngine(msgspec.structs.replace(config, detectors=tuple(usable)))
    found: dict[str, Fired] = {}
    end_ms = 0
    for panes in minutes:
        if not panes:
            continue
        result.minutes += 1
        result.panes += len(panes)
        end_ms = panes[0].end_ms
        # What was silent meanwhile is noticed before the minute that ends it.
        _collect(found, engine.on_time(panes[0].start_ms - 1), result)
        _collect(found, engine.on_panes(panes, end_ms - 1), result)
    result.fired = list(found.values())
    return result


def _collect(found: dict[str, Fired], anomalies: list[Anomaly], result: Replay) -> None:
    for anomaly in anomalies:
        if anomaly.status == "resolved":
            continue
        if anomaly.detector_id == FAILURE_DETECTOR:
            name = anomaly.affected_entity["id"]
            result.errors[name] = result.errors.get(name, 0) + 1
            continue
        before = found.get(anomaly.anomaly_id)
        if before is None:
            found[anomaly.anomaly_id] = Fired(anomaly, anomaly.last_seen, anomaly.score)
        else:
            before.last_seen, before.score, before.count = anomaly.last_seen, max(before.score, anomaly.score), before.count + 1
