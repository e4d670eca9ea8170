"""From a batch of events to the facts that rules with memory need. Without such rules nothing is computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

import numpy as np

from sentinel.anomaly import Anomaly
from sentinel.config.runnable import BEHAVIOURAL
from sentinel.config.runtime import DetectorConfig, RuntimeConfig
from sentinel.detection.facts import ENTITY_RULES, FACT_WIDTH_MS, HISTOGRAM_GROWTH, ZERO_BUCKET, Fact, watched_by
from sentinel.detection.rules.batch import EventBatch
from sentinel.detection.rules.conditions import EventTest
from sentinel.detection.rules.specs import AggregateSpec, aggregate_spec, cep_spec, composite_spec
from sentinel.detection.rules.user_rows import UserRows
from sentinel.events.columns import BoolColumn, FloatColumn, IntColumn
from sentinel.timestamps import from_rfc3339

EXACT_MATCHES = 32
"""Matches of one rule, key and second in a batch that travel one by one; what follows is folded, so that a rule that matches everything costs little."""
MAX_KEY_LENGTH = 256


class FactRules:
    """The rules of one configuration version that need facts.

    `failed` is told of a rule that threw (config, exception): the others go on.
    """

    def __init__(self, config: RuntimeConfig, failed: Callable[[DetectorConfig, Exception], None]) -> None:
        self._failed = failed
        self._makers: list[tuple[DetectorConfig, _Matches | _Aggregates | UserRows]] = []
        self._findings: dict[str, list[tuple[DetectorConfig, int]]] = {}
        event_level = {detector.id for detector in config.at_level("event")}
        for detector in config.detectors:
            try:
                self._add(detector, event_level)
            except Exception as error:
                failed(detector, error)
        for entity in ENTITY_RULES:
            watching = [d for d in config.detectors if d.strategy in BEHAVIOURAL and watched_by(d.params) == entity]
            if watching:
                self._makers.append((watching[0], UserRows([detector.scope for detector in watching], entity)))

    def _add(self, detector: DetectorConfig, event_level: set[str]) -> None:
        if detector.strategy == "cep":
            self._makers.append((detector, _Matches(detector)))
        elif detector.strategy == "aggregation":
            spec = aggregate_spec(detector)
            if not spec.from_panes:
                self._makers.append((detector, _Aggregates(detector, 0, spec)))
        elif detector.strategy == "composite":
            for part, node in enumerate(composite_spec(detector).nodes()):
                if node.value is not None and not node.from_panes:
                    self._makers.append((detector, _Aggregates(detector, part, node)))
                elif node.detector in event_level:
                    self._findings.setdefault(str(node.detector), []).append((detector, part))

    @property
    def empty(self) -> bool:
        """No rule needs facts."""
        return not self._makers and not self._findings

    def evaluate(self, batch: EventBatch, found: Sequence[Anomaly]) -> list[Fact]:
        """Facts of the batch; `found` are the findings of its per-event rules, on which composites may build."""
        facts: list[Fact] = []
        for detector, maker in self._makers:
            try:
                facts += maker.facts(batch)
            except Exception as error:
                self._failed(detector, error)
        for anomaly in found if self._findings else ():
            for detector, part in self._findings.get(anomaly.detector_id, ()):
                if detector.scope.matches(anomaly.tenant_id, anomaly.application_id):
                    facts.append(_of_finding(anomaly, detector, part))
        return facts


def _of_finding(anomaly: Anomaly, detector: DetectorConfig, part: int) -> Fact:
    first_ms, last_ms = from_rfc3339(anomaly.first_seen), from_rfc3339(anomaly.last_seen)
    events = anomaly.context.get("sample_events") or [""]
    return Fact(
        anomaly.tenant_id, anomaly.application_id, last_ms - last_ms % FACT_WIDTH_MS, detector.id, part, "", anomaly.count,
        first_ms, last_ms, 1, events[0],
    )  # fmt: skip


class _Matches:
    """Events that meet any of a sequence's conditions."""

    def __init__(self, detector: DetectorConfig) -> None:
        spec = cep_spec(detector)
        self._detector, self._by = detector, spec.by
        self._tests = [EventTest(part) for part in spec.events.values()]

    def facts(self, batch: EventBatch) -> list[Fact]:
        masks = np.zeros(len(batch), np.int64)
        for bit, test in enumerate(self._tests):
            masks |= test.matches(batch).astype(np.int64) << bit
        rows = _of_keys(batch, self._by, (masks > 0) & batch.in_scope(self._detector.scope))
        keys, names, times = batch.columns.keys, batch.keys(self._by), batch.columns.times_ms
        # Rows of a key and second in event-time order; equal times in the order of ids, whatever the order of arrival.
        found = sorted(
            (keys[row][0], keys[row][1], names[row], second, int(times[row]), str(batch.event_ids[row]), int(masks[row]))
            for row in rows.tolist()
            for second in (int(times[row]) // FACT_WIDTH_MS * FACT_WIDTH_MS,)
        )
        facts: list[Fact] = []
        for (tenant, application, name, second), group in groupby(found, key=lambda item: item[:4]):
            own: list[Fact] = []
            for *_, time_ms, event, mask in group:
                if len(own) >= EXACT_MATCHES and own[-1].mask == mask:
                    own[-1].count += 1
                    own[-1].last_ms = time_ms
                else:
                    own.append(Fact(tenant, application, second, self._detector.id, 0, name, 1, time_ms, time_ms, mask, event))
            facts += own
        return facts


class _Aggregates:
    """Partial aggregates by key and second."""

    def __init__(self, detector: DetectorConfig, part: int, spec: AggregateSpec) -> None:
        self._detector, self._part, self._spec = detector, part, spec
        self._metric = "latency_ms" if spec.metric == "latency_p95_ms" and spec.function is None else spec.metric
        self._histogram = spec.function == "percentile" or spec.metric == "latency_p95_ms"
        self._where = EventTest(spec.where) if spec.where is not None else None

    def facts(self, batch: EventBatch) -> list[Fact]:
        mask = batch.in_scope(self._detector.scope)
        values = np.ones(len(batch)) if self._metric is None else batch.metric(self._metric)
        mask &= np.isfinite(values)
        if self._where is not None and mask.any():
            mask &= self._where.matches(batch)
        rows = _of_keys(batch, self._spec.by, mask)
        if not len(rows):
            return []
        keys, names = batch.columns.keys, batch.keys(self._spec.by)
        seconds = batch.columns.times_ms[rows] // FACT_WIDTH_MS * FACT_WIDTH_MS
        codes: dict[tuple[str, str, str, int], int] = {}
        number = codes.setdefault
        groups = np.array(
            [
                number((keys[row][0], keys[row][1], names[row], second), len(codes))
                for row, second in zip(rows.tolist(), seconds.tolist(), strict=True)
            ],
            np.int64,
        )
        order = np.lexsort((values[rows], groups))
        ordered, sorted_groups = values[rows][order], groups[order]
        bounds = np.searchsorted(sorted_groups, np.arange(len(codes)))
        ends = np.append(bounds[1:], len(ordered)) - 1
        totals = np.add.reduceat(ordered, bounds)
        histograms = _histograms(ordered, sorted_groups, len(codes)) if self._histogram else None
        own = rows[order]
        return [
            Fact(
                tenant, application, second, self._detector.id, self._part, name, int(end - begin + 1), second, second, 0,
                str(batch.event_ids[own[end]]), float(totals[place]), float(ordered[begin]), float(ordered[end]),
                histograms[place] if histograms else [],
            )
            for place, ((tenant, application, name, second), begin, end) in enumerate(zip(codes, bounds, ends, strict=True))
        ]  # fmt: skip


def _of_keys(batch: EventBatch, by: str, mask: BoolColumn) -> IntColumn:
    """Rows that the mask leaves and that name a key, if the rule keeps keys apart."""
    rows: IntColumn = np.flatnonzero(mask)
    if by == "application" or not len(rows):
        return rows
    names = batch.keys(by)
    return np.array([row for row in rows.tolist() if 0 < len(names[row]) <= MAX_KEY_LENGTH], np.int64)


def _histograms(values: FloatColumn, groups: IntColumn, count: int) -> list[list[tuple[int, int]]]:
    with np.errstate(divide="ignore", invalid="ignore"):
        buckets = np.where(values > 0.0, np.ceil(np.log(values) / np.log(HISTOGRAM_GROWTH)), ZERO_BUCKET).astype(np.int64)
    pairs, counts = np.unique(np.column_stack((groups, buckets)), axis=0, return_counts=True)
    found: list[list[tuple[int, int]]] = [[] for _ in range(count)]
    for (group, bucket), inside in zip(pairs.tolist(), counts.tolist(), strict=True):
        found[group].append((bucket, inside))
    return found
