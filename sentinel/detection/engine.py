"""The pane detectors of one shard: routing, event time, state, bounds.

Where a baseline is kept: means of single calls (latency, tokens, cost per request) per tenant, application and model, since models
differ; error share, rates and silence per tenant and application, since they need all calls; the peer comparison likewise.
A detector's `level` parameter decides otherwise. All keys of one tenant and application must be in the same shard.

Results are a function of each application's panes alone: panes wait until event time has passed them, so neither the interleaving of
keys nor the steps of the watermark nor the place of a checkpoint shows in an anomaly.
"""

from __future__ import annotations

import heapq
import logging
from time import perf_counter
from typing import Any

import msgspec

from sentinel.anomaly import Anomaly
from sentinel.config.runtime import DetectorConfig, RuntimeConfig
from sentinel.detection.anomalies import to_anomaly
from sentinel.detection.application import ApplicationState, fingerprint
from sentinel.detection.detectors import RULES, STRATEGIES, PaneDetector, new_detector, new_rule
from sentinel.detection.detectors.custom import PluginDetector
from sentinel.detection.facts import Fact
from sentinel.detection.failures import Failures, too_slow
from sentinel.detection.lanes import Found
from sentinel.detection.meter import Meter
from sentinel.detection.plan import Plan
from sentinel.detection.state import StateError, check_version
from sentinel.models.library import refresh_all
from sentinel.panes import Pane, UserPane

STATE_VERSION = 1
MAX_KEYS = 16_000
"""Applications and models of a shard: some 25 kB each in memory and 6 in the state with the built-in detectors, 3 GB and 0.8 for eight full shards."""
SWEEP_MS = 600_000

logger = logging.getLogger(__name__)
_encoder = msgspec.msgpack.Encoder()


class ShardEngine:
    """All keys of a shard.

    Counters: `panes`, `detections`, `keys_refused` (panes of new keys beyond `max_keys`), `keys_evicted` (idle for 24 h of event
    time), `detector_errors` by detector id; `detectors_refused` names detectors that could not be built, with the reason. Detectors that throw or
    cannot be built are said in records of their own (`sentinel.detection.failures`).
    """

    def __init__(self, config: RuntimeConfig, max_keys: int = MAX_KEYS) -> None:
        self.max_keys = max_keys
        self.panes = self.detections = self.keys_refused = self.keys_evicted = 0
        self._failures = Failures()
        self._refused: list[tuple[DetectorConfig, ValueError]] = []
        self._applications: dict[tuple[str, str], ApplicationState] = {}
        self._keys = 0
        self._timers: list[tuple[int, tuple[str, str]]] = []
        self._scheduled: dict[tuple[str, str], int] = {}
        self._swept_ms = 0
        self._config = config
        self._plan = self._new_plan(config)

    @classmethod
    def from_state(cls, state: bytes | None, config: RuntimeConfig, max_keys: int = MAX_KEYS) -> ShardEngine:
        """A shard as it was at `to_state`, under the given configuration (detectors that changed start afresh).

        Raises:
            StateError: when the bytes are no state of this version.
        """
        engine = cls(config, max_keys)
        if state:
            engine._restore(state)
        return engine

    @property
    def keys(self) -> int:
        """Applications and models under observation."""
        return self._keys

    def on_panes(
        self, panes: list[Pane | UserPane | Fact] | list[Pane | UserPane] | list[Pane] | list[UserPane], watermark_ms: int
    ) -> list[Anomaly]:
        """Take panes and facts (any order among keys) and event time; the anomalies that are due, ordered by time, key and detector."""
        touched: dict[tuple[str, str], ApplicationState] = {}
        for pane in panes:
            key = (pane.tenant_id, pane.application_id)
            application = self._applications.get(key) or self._admit(key, pane.start_ms)
            if application is None:
                self._refuse(key)
                continue
            touched[key] = application
            if isinstance(pane, Pane):
                if pane.model not in application.models:
                    if self._keys + 1 > self.max_keys:
                        self._refuse(key)
                        continue
                    application.open_model(pane.model)
                    self._keys += 1
                application.waiting.setdefault(pane.start_ms, []).append(pane)
            elif isinstance(pane, Fact):
                application.facts.setdefault(pane.start_ms, []).append(pane)
            else:
                application.user_waiting[pane.start_ms] = pane
        self.panes += len(panes)
        found: list[tuple[ApplicationState, Found]] = []
        began = perf_counter()
        for key, application in touched.items():
            self._advance(key, application, watermark_ms + 1, found)
        self._run_timers(watermark_ms + 1, found)
        self._took(perf_counter() - began, watermark_ms)
        return self._anomalies(found)

    def _refuse(self, key: tuple[str, str]) -> None:
        self.keys_refused += 1
        if not self.keys_refused & (self.keys_refused - 1):
            logger.error(
                "%s|%s is not watched: its shard has %d keys (%d seconds of keys refused so far)", *key, self.max_keys, self.keys_refused
            )

    def on_time(self, watermark_ms: int) -> list[Anomaly]:
        """Event time has come to the watermark: waiting panes and timers that it makes due.

        A watermark t says that nothing at or before t will come any more: a pane that ends at t + 1 is complete.
        """
        found: list[tuple[ApplicationState, Found]] = []
        self._run_timers(watermark_ms + 1, found)
        return self._anomalies(found)

    def next_timer(self) -> int | None:
        """Event time (ms) at which `on_time` is wanted next; it may turn out that nothing is due then. None: never."""
        return self._timers[0][0] - 1 if self._timers else None

    def apply_config(self, config: RuntimeConfig) -> None:
        """Put a configuration in force: unchanged detectors keep their state; anomalies from now on carry its version."""
        if config is self._config:
            return
        # Also a repeated record: that is how a promotion tells running jobs to look for it at once.
        refresh_all()
        self._config = config
        before = {detector.id: fingerprint(detector) for detector in self._plan.detectors}
        scopes = {detector.id: (detector.scope, detector.type, detector.actions) for detector in self._plan.detectors}
        self._refused = []
        self._plan = self._new_plan(config)
        after = {detector.id: fingerprint(detector) for detector in self._plan.detectors}
        if before == after and scopes == {d.id: (d.scope, d.type, d.actions) for d in self._plan.detectors}:
            for application in self._applications.values():
                application.plan = self._plan
            return
        for key, application in self._applications.items():
            application.replan(self._plan)
            self._report_refused(*key, application.last_ms)
            self._schedule(key, application)

    # -- inside ---------------------------------------------------------------------------------------------------------------

    @property
    def _dedup_ms(self) -> int:
        return max(1000, round(self._config.dedup.window_s * 1000))

    def _new_plan(self, config: RuntimeConfig) -> Plan:
        dedup_ms = self._dedup_ms
        usable: list[DetectorConfig] = []
        levels: dict[str, str] = {}
        for detector in config.detectors:
            rule = detector.strategy in RULES
            if detector.level == "event" or not (rule or detector.strategy in STRATEGIES):
                continue
            try:
                built = new_rule(detector, dedup_ms) if rule else new_detector(detector, dedup_ms)
            except ValueError as error:
                self._refused.append((detector, error))
                logger.error("detector left out: %s", error)
                continue
            usable.append(detector)
            levels[detector.id] = "rule" if rule else "user" if detector.level == "user" else built.tuning.level
        # Composites last: they build on what the others found in the same second.
        usable.sort(key=lambda detector: detector.strategy == "composite")
        timeout_s = config.processing_timeout_s

        def make(detector: DetectorConfig) -> PaneDetector:
            built = new_detector(detector, dedup_ms)
            if isinstance(built, PluginDetector):
                built.timeout_s = timeout_s
            return built

        return Plan(tuple(usable), levels, make, lambda detector: new_rule(detector, dedup_ms), timeout_s)

    def _admit(self, key: tuple[str, str], at_ms: int) -> ApplicationState | None:
        if self._keys + 1 > self.max_keys:
            return None
        application = self._applications[key] = ApplicationState(*key, self._plan, self._on_failure)
        self._keys += 1
        self._report_refused(*key, at_ms)
        return application

    def _report_refused(self, tenant_id: str, application_id: str, at_ms: int) -> None:
        for detector, error in self._refused:
            if detector.scope.matches(tenant_id, application_id):
                self._on_failure(detector, tenant_id, application_id, at_ms, error)

    def _evict(self, key: tuple[str, str], application: ApplicationState) -> None:
        self._keys -= application.keys
        self.keys_evicted += application.keys
        del self._applications[key]
        self._scheduled.pop(key, None)

    def _advance(
        self, key: tuple[str, str], application: ApplicationState, now_ms: int, found: list[tuple[ApplicationState, Found]]
    ) -> None:
        before = application.keys
        for item in application.advance(now_ms):
            found.append((application, item))
        self._keys += application.keys - before
        self._schedule(key, application)

    def _took(self, seconds: float, at_ms: int) -> None:
        """A call beyond the timeout makes the next one a metered one; the detector that takes most of such a call is reported."""
        plan = self._plan
        slow = too_slow(seconds, "the panes of a shard", plan.timeout_s)
        if slow is None:
            plan.meter = None
            return
        if plan.meter is not None and (worst := plan.meter.worst()) is not None:
            config, tenant_id, application_id, spent = worst
            self._on_failure(config, tenant_id, application_id, at_ms, TimeoutError(f"{slow}; it took {spent / seconds:.0%} of that"))
        plan.meter = Meter()

    def _schedule(self, key: tuple[str, str], application: ApplicationState) -> None:
        """One entry a key in the heap. A timer that moved later keeps its early entry, which then finds nothing due and moves on."""
        due = application.next_timer()
        if due is None:
            return
        scheduled = self._scheduled.get(key)
        if scheduled is None or due < scheduled:
            self._scheduled[key] = due
            heapq.heappush(self._timers, (due, key))

    def _run_timers(self, now_ms: int, found: list[tuple[ApplicationState, Found]]) -> None:
        timers = self._timers
        while timers and timers[0][0] <= now_ms:
            due, key = heapq.heappop(timers)
            if self._scheduled.get(key) != due:
                continue
            del self._scheduled[key]
            application = self._applications.get(key)
            if application is not None:
                self._advance(key, application, now_ms, found)
                if self._scheduled.get(key, now_ms + 1) <= now_ms:
                    # Everything due was done, so a timer of a detector has not moved: it waits a second instead of holding up the shard for ever.
                    self._scheduled[key] = now_ms + 1000
                    heapq.heappush(timers, (now_ms + 1000, key))
        if now_ms - self._swept_ms >= SWEEP_MS:
            self._swept_ms = now_ms
            for key, application in list(self._applications.items()):
                if now_ms - application.last_ms > application.idle_ms and not (
                    application.waiting or application.user_waiting or application.facts
                ):
                    self._evict(key, application)

    @property
    def detectors_refused(self) -> dict[str, str]:
        """Detectors that could not be built, with the reason."""
        return {detector.id: str(error) for detector, error in self._refused}

    @property
    def detector_errors(self) -> dict[str, int]:
        """How often each detector threw."""
        return self._failures.by_detector

    def _anomalies(self, found: list[tuple[ApplicationState, Found]]) -> list[Anomaly]:
        failures = self._failures.take()
        if not found:
            return failures
        self.detections += len(found)
        found.sort(key=lambda item: (item[1][2].detected_ms, item[0].tenant_id, item[0].application_id, item[1][1], item[1][0].id))
        version, dedup_ms = self._config.version, self._dedup_ms
        said: list[Anomaly] = []
        for application, (config, model, detection) in found:
            tenant_id, application_id = application.tenant_id, application.application_id
            try:
                said.append(to_anomaly(config, tenant_id, application_id, model, detection, version, dedup_ms))
            except Exception as error:
                self._on_failure(config, tenant_id, application_id, detection.detected_ms, error)
        return [*said, *failures, *self._failures.take()]

    def _on_failure(self, config: DetectorConfig, tenant_id: str, application_id: str, at_ms: int, error: Exception) -> None:
        self._failures.count(config, tenant_id, application_id, error, at_ms, self._config.version, self._dedup_ms)

    # -- state ----------------------------------------------------------------------------------------------------------------

    def to_state(self) -> bytes:
        """All keys, versioned (msgpack)."""
        return _encoder.encode([STATE_VERSION, self._swept_ms, [application.to_state() for application in self._applications.values()]])

    def _restore(self, state: bytes) -> None:
        try:
            decoded: Any = msgspec.msgpack.decode(state)
        except msgspec.DecodeError as error:
            raise StateError(f"shard state of {len(state)} bytes is not msgpack: {error}") from error
        self._swept_ms, applications = check_version(decoded, STATE_VERSION, "shard state")
        for tenant_id, application_id, *fields in applications:
            key = (tenant_id, application_id)
            application = self._applications[key] = ApplicationState(*key, self._plan, self._on_failure)
            application.restore(fields, lambda raw: msgspec.convert(raw, Pane), lambda raw: msgspec.convert(raw, UserPane))
            self._keys += application.keys
            self._schedule(key, application)
