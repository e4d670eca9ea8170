"""Evaluate all per-event rules over a batch and fold equal findings into one anomaly record each."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Any, NamedTuple

from sentinel.anomaly import Anomaly, anomaly_id
from sentinel.config.runtime import DetectorConfig, RuntimeConfig
from sentinel.detection.facts import Fact
from sentinel.detection.failures import Failures, too_slow
from sentinel.detection.rules.batch import EventBatch
from sentinel.detection.rules.classified import ClassifierRules, evidence_of, sentence_of
from sentinel.detection.rules.facts import FactRules
from sentinel.detection.rules.patterns import PATTERN_SCORE, PatternRules
from sentinel.detection.rules.thresholds import ThresholdRule
from sentinel.events.columns import Columns
from sentinel.events.model import UNKNOWN_MODEL, Event
from sentinel.timestamps import to_rfc3339

MAX_SAMPLES = 5
MAX_TRACES = 10


class _Finding(NamedTuple):
    row: int
    detector: DetectorConfig
    score: float
    observed: float | None
    threshold: float | None
    sentence: str
    evidence: dict[str, Any] | None = None


class EventRules:
    """The rules on single events of one configuration version, and the facts that rules with memory need.

    A rule that throws is left out for the batch, counted, and reported at the applications that it did not judge; the others go on.
    """

    def __init__(self, config: RuntimeConfig, failures: Failures | None = None) -> None:
        self.config = config
        self._failures = failures or Failures()
        self._broken: list[tuple[DetectorConfig, Exception]] = []
        self._thresholds: list[ThresholdRule] = []
        self._patterns: list[PatternRules] = []
        detectors = config.at_level("event")
        for detector in detectors:
            if detector.strategy == "threshold":
                try:
                    self._thresholds.append(ThresholdRule(detector))
                except Exception as error:
                    self._note(detector, error)
        patterns = [d for d in detectors if d.strategy == "pattern"]
        try:
            self._patterns = [PatternRules(patterns)]
        except Exception:
            # One of them cannot be compiled: each for itself, which costs more, and only the broken one is left out.
            self._patterns = [rules for detector in patterns if (rules := self._alone(detector)) is not None]
        self._classifiers: list[ClassifierRules] = []
        classifiers = [d for d in detectors if d.strategy == "classifier"]
        try:
            self._classifiers = [ClassifierRules(classifiers)]
        except Exception as error:
            for detector in classifiers:
                self._note(detector, error)
        self._facts = FactRules(config, self._note)
        self.unbuilt, self._broken = self._broken, []
        self._dedup_ms = round(config.dedup.window_s * 1000) if config.dedup.enabled else 1

    def evaluate(self, events: Sequence[Event], columns: Columns, event_ids: Sequence[object], now_ms: int) -> list[Anomaly]:
        """Anomalies of the batch: findings of one detector, tenant, application and dedup window are folded, with their count."""
        folded: dict[str, Anomaly] = {}
        self._broken += self.unbuilt
        for finding in self._findings(EventBatch(events, columns, event_ids)):
            tenant, application, model = columns.keys[finding.row]
            detector = finding.detector
            if not detector.scope.matches(tenant, application, model):
                continue
            time_ms = int(columns.times_ms[finding.row])
            kind, entity = self._entity(finding, columns)
            identity = anomaly_id(
                tenant_id=tenant,
                detector_id=detector.id,
                application_id=application,
                severity=detector.severity,
                entity_type=kind,
                entity_id=entity,
                first_event_ms=time_ms,
                dedup_window_ms=self._dedup_ms,
            )
            known = folded.get(identity)
            if known is None:
                folded[identity] = self._anomaly(identity, finding, columns, events[finding.row], str(event_ids[finding.row]), now_ms)
            else:
                _fold(known, finding, to_rfc3339(time_ms), str(event_ids[finding.row]), events[finding.row])
        return [*folded.values(), *self._reports(columns)]

    def facts(self, events: Sequence[Event], columns: Columns, event_ids: Sequence[object], found: Sequence[Anomaly]) -> list[Fact]:
        """What rules with memory must know of the batch; `found` are its own findings."""
        if self._facts.empty:
            return []
        return self._facts.evaluate(EventBatch(events, columns, event_ids), found)

    def _alone(self, detector: DetectorConfig) -> PatternRules | None:
        try:
            return PatternRules([detector])
        except Exception as error:
            self._note(detector, error)
            return None

    def _check_time(self, seconds: float, events: int, detectors: Sequence[DetectorConfig]) -> None:
        slow = too_slow(seconds, f"a batch of {events:,} events", self.config.processing_timeout_s)
        if slow is not None:
            for detector in detectors:
                self._note(detector, slow)

    def _note(self, detector: DetectorConfig, error: Exception) -> None:
        self._broken.append((detector, error))

    def _reports(self, columns: Columns) -> list[Anomaly]:
        """Of every rule that threw, at every application of the batch that it should have judged. Faults of making facts come a batch later."""
        if not self._broken:
            return []
        first_rows = {key[:2]: row for row, key in reversed(list(enumerate(columns.keys)))}
        for detector, error in self._broken:
            for (tenant, application), row in sorted(first_rows.items()):
                if detector.scope.matches(tenant, application):
                    at_ms = int(columns.times_ms[row])
                    self._failures.count(detector, tenant, application, error, at_ms, self.config.version, max(1000, self._dedup_ms))
        self._broken = []
        return self._failures.take()

    def _findings(self, batch: EventBatch) -> list[_Finding]:
        findings: list[_Finding] = []
        for rule in self._thresholds:
            began = perf_counter()
            try:
                findings += [
                    _Finding(row, rule.detector, rule.score(observed), observed, rule.value, rule.describe(observed))
                    for row, observed in rule.hits(batch)
                ]
            except Exception as error:
                self._note(rule.detector, error)
            self._check_time(perf_counter() - began, len(batch), (rule.detector,))
        for patterns in self._patterns:
            began = perf_counter()
            try:
                findings += [
                    _Finding(
                        hit.row,
                        hit.detector,
                        PATTERN_SCORE,
                        None,
                        None,
                        f"the {hit.field} matches pattern {hit.pattern_id}: “{hit.excerpt}”",
                    )
                    for hit in patterns.hits(batch.events)
                ]
            except Exception as error:
                for detector in patterns.detectors:
                    self._note(detector, error)
            self._check_time(perf_counter() - began, len(batch), patterns.detectors)
        for classifiers in self._classifiers:
            began = perf_counter()
            try:
                findings += [
                    _Finding(
                        hit.row,
                        hit.detector,
                        hit.verdict.score,
                        hit.verdict.score,
                        hit.detector.params["threshold"],
                        sentence_of(hit),
                        evidence_of(hit, classifiers.model),
                    )
                    for hit in classifiers.hits(batch)
                ]
            except Exception as error:
                for detector in classifiers.detectors:
                    self._note(detector, error)
            self._check_time(perf_counter() - began, len(batch), classifiers.detectors)
        return findings

    def _entity(self, finding: _Finding, columns: Columns) -> tuple[str, str]:
        """Kind and id of what a finding is about: the application; the user, where users are to be told apart."""
        user = columns.users[finding.row]
        return ("user", user) if user and finding.detector.shields_users else ("application", columns.keys[finding.row][1])

    def _anomaly(self, identity: str, finding: _Finding, columns: Columns, event: Event, event_id: str, now_ms: int) -> Anomaly:
        tenant, application, model = columns.keys[finding.row]
        detector = finding.detector
        seen = to_rfc3339(int(columns.times_ms[finding.row]))
        kind, entity = self._entity(finding, columns)
        metrics = {"observed_value": finding.observed, "threshold": finding.threshold}
        return Anomaly(
            anomaly_id=identity,
            timestamp=to_rfc3339(now_ms),
            detector_id=detector.id,
            detector_type=detector.type,
            severity=detector.severity,
            score=finding.score,
            tenant_id=tenant,
            application_id=application,
            model="" if model == UNKNOWN_MODEL else model,
            metric=detector.metric or "",
            user_id=columns.users[finding.row],
            title=f"{detector.name or detector.id}: {application}",
            description=finding.sentence,
            affected_entity={"type": kind, "id": entity, "name": entity},
            metrics={name: value for name, value in metrics.items() if value is not None},
            context={
                "window_start": seen,
                "window_end": seen,
                "sample_events": [event_id],
                "related_anomalies": [],
                **(finding.evidence or {}),
            }
            | _traces(event),
            first_seen=seen,
            last_seen=seen,
            config_version=self.config.version,
        )


def _traces(event: Event) -> dict[str, list[str]]:
    trace = event.data.trace_id or event.correlation_id
    return {"trace_ids": [trace[:128]]} if trace else {}


def _fold(anomaly: Anomaly, finding: _Finding, seen: str, event_id: str, event: Event) -> None:
    anomaly.count += 1
    anomaly.first_seen = min(anomaly.first_seen, seen)
    anomaly.last_seen = max(anomaly.last_seen, seen)
    anomaly.context["window_start"] = anomaly.first_seen
    anomaly.context["window_end"] = anomaly.last_seen
    if len(anomaly.context["sample_events"]) < MAX_SAMPLES:
        anomaly.context["sample_events"].append(event_id)
    if traces := _traces(event):
        known = sorted({*anomaly.context.get("trace_ids", ()), *traces["trace_ids"]})
        anomaly.context["trace_ids"] = known[:MAX_TRACES]
    if finding.score > anomaly.score:
        anomaly.score = finding.score
        anomaly.description = finding.sentence
        if finding.observed is not None:
            anomaly.metrics["observed_value"] = finding.observed
        anomaly.context |= finding.evidence or {}
