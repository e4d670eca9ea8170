"""Folding of repeats and correlation of the anomalies of one tenant, across its metrics, applications and traces.

*Folding.* The first record of an anomaly id goes out at once; further occurrences of the id are folded into it (count, last_seen, worst
score with its figures) and go out as updates, at most one a second and id. An occurrence that comes twice (a replay) counts once.

*Correlation.* Anomalies are related when their first_seen lie at most `correlation.window` apart and they are of the same application, about the same
user, or of events of the same trace; across applications also when they are of the same metric or about the same model and begin within `TOGETHER_MS`,
as they do when something fails that applications share. With more than `max_related` candidates
two anomalies are related when each is among the other's nearest: related is symmetric. Whatever changes is sent again as an update,
so that the last record of every id says the same, in whichever order ids came.

*Root* is the earliest of an anomaly and its related ones (ties: higher score, then smaller id); the group is named after the root.

*Final score* = 1 - (1 - score) * 0.85**k with k the number of other detectors (at most 5) among the related anomalies: independent
detectors that agree make each of them more credible. From `AGREEING` other detectors on, the severity rises by one level.

*End.* An id without a new occurrence for `resolveTimeout` (or once event time has left it behind for good) is sent once more with status
`resolved` and `context.ended_at`, the time of its last occurrence; a later occurrence of the id makes it active again.

*Fan-out.* Whom detectors met at their applications is counted across them (`sentinel.detection.fan_out`).

*Status.* Requests about alerts (`on_control`) and maintenance windows show in the anomalies behind them: see `sentinel.anomaly_requests`.

*Time.* Anomalies expire by event time, once the newest first_seen is two windows (and a slack) ahead: until then they may be named by
neighbours that change. The clock that callers pass only paces updates.
"""

from __future__ import annotations

from typing import Any

import msgspec

from sentinel.alerting.control import Control
from sentinel.alerting.muting import Silence
from sentinel.anomaly import EDGE, Anomaly
from sentinel.anomaly_links import AnomalyLinks
from sentinel.anomaly_requests import AnomalyRequests, Snooze, status_of
from sentinel.config.runtime import RuntimeConfig
from sentinel.detection.detection import SEVERITIES
from sentinel.detection.fan_out import FanOuts
from sentinel.detection.state import StateError, check_version
from sentinel.evidence import evidence_sql
from sentinel.identity import stable_id
from sentinel.live_anomaly import NEVER, Record, digest, first_due, folded, new_record, occurrence, order
from sentinel.shield import of_detector
from sentinel.timestamps import from_rfc3339

STATE_VERSION = 1
FLUSH_MS = 1_000
SLACK_MS = 120_000
"""How far behind the newest one an anomaly of the same key may arrive and still find those that it belongs to."""
MAX_RECORDS = 2_000
MAX_OCCURRENCES = 512
AGREEMENT = 0.85
AGREEING = 3

_encoder = msgspec.msgpack.Encoder()


class Correlator:
    """All live anomalies of one tenant."""

    def __init__(self, config: RuntimeConfig) -> None:
        self._records: dict[str, Record] = {}
        self._links = AnomalyLinks(0, 0)
        self._newest_ms = 0
        self._idle_ms = 0
        self._requests = AnomalyRequests()
        self._fan_outs = FanOuts()
        self._due_ms = NEVER
        """Not later than the first update that is due or the first end."""
        self.apply_config(config)

    @classmethod
    def from_state(cls, state: bytes | None, config: RuntimeConfig) -> Correlator:
        """The correlator as it was at `to_state`.

        Raises:
            StateError: when the bytes are no state of this version.
        """
        correlator = cls(config)
        if state:
            correlator._restore(state)
        return correlator

    def apply_config(self, config: RuntimeConfig) -> None:
        """Window and limits from now on; anomalies that are already related stay so until something changes."""
        self._config = config
        self._enabled = config.correlation.enabled
        self._window_ms = round(config.correlation.window_s * 1000)
        most = config.correlation.max_related
        if (self._window_ms, most) != (self._links.window_ms, self._links.most):
            self._links = AnomalyLinks(self._window_ms, most)
            self._link_all()
        self._resolve_ms = max(1, round(config.resolve_timeout_s * 1000))
        self._shields = [
            (detector.id, detector.scope, detector.actions) for detector in config.detectors if any(a.shield for a in detector.actions)
        ]
        self._watching = {detector.id: detector for detector in config.detectors if detector.strategy == "entity_relationship"}
        self._fan_outs.keep(self._watching)
        self._requests.configured(config, self._records.values())
        self._due_ms = first_due(self._records.values(), FLUSH_MS, self._resolve_ms)
        self._keep_ms = self._window_ms + max(self._window_ms, round(config.dedup.window_s * 1000)) + SLACK_MS

    def __len__(self) -> int:
        return len(self._records)

    def on_anomaly(self, anomaly: Anomaly, now_ms: int) -> list[Anomaly]:
        """Take one occurrence; what is to be sent at once: its record, if the id is new (and, after a long pause, pending updates)."""
        self._idle_ms = now_ms + 3 * self._keep_ms
        self._look_at_mutes(now_ms)
        if anomaly.status == EDGE:
            watching = self._watching.get(anomaly.detector_id)
            spread = watching and self._fan_outs.take(anomaly, watching, max(1000, round(self._config.dedup.window_s * 1000)))
            return self.on_anomaly(spread, now_ms) if spread else []
        known = self._records.get(anomaly.anomaly_id)
        if known is not None:
            self._fold(known, anomaly, now_ms)
            return []
        seen_ms = from_rfc3339(anomaly.first_seen or anomaly.timestamp)
        updates: list[Anomaly] = []
        if seen_ms > self._newest_ms:
            self._newest_ms = seen_ms
            updates = self._expire(now_ms)
        self._ask_shield(anomaly)
        record = new_record(anomaly, seen_ms)
        record.touched_ms, record.shield_orders = now_ms, len(anomaly.actions_taken)
        self._records[anomaly.anomaly_id] = record
        for other in self._links.add(record, self._records.values()):
            self._soil(other)
        self._due_ms = min(self._due_ms, now_ms + self._resolve_ms)
        silenced = self._requests.is_new(record, self._config, now_ms)
        sent = self._finished(record, self._related(record), update=False)
        record.sent_ms, record.sent_mark = now_ms, digest(sent)
        if silenced:
            # Actions in the first record of an id are orders to Shield; what people did follows.
            self._soil(record)
        while len(self._records) > MAX_RECORDS:
            oldest = self._records.pop(min(self._records, key=lambda name: (self._records[name].first_ms, name)))
            self._links.remove(oldest, self._records.values())
        return [*updates, sent]

    def on_control(self, control: Control, now_ms: int) -> None:
        """Take a request about alerts of the tenant; what it changes is sent with the next updates."""
        self._look_at_mutes(now_ms)
        for record in self._requests.take(control, self._records.values(), self._config, now_ms):
            self._soil(record)

    def next_timer(self) -> int | None:
        """When `on_timer` is wanted at the latest, on the caller's clock; None when nothing is kept. Nothing may be due then any more: an id that
        occurs again ends later."""
        return min(self._due_ms, self._idle_ms, self._requests.next_end()) if self._records else None

    def on_timer(self, now_ms: int) -> list[Anomaly]:
        """The updates that are due, ordered by first_seen and id."""
        self._look_at_mutes(now_ms)
        for record in self._records.values():
            if not record.resolved and record.touched_ms + self._resolve_ms <= now_ms:
                record.resolved = record.dirty = True
        updates = self._flush([r for r in self._records.values() if r.dirty and r.sent_ms + FLUSH_MS <= now_ms], now_ms)
        if self._records and now_ms >= self._idle_ms:
            # A timer that fires late speaks of a stopped job, not of a quiet key: what was in flight may still come.
            late = now_ms - self._idle_ms > SLACK_MS
            if late:
                self._idle_ms = now_ms + self._keep_ms
            elif not any(record.dirty for record in self._records.values()):
                self._records.clear()
                self._links = AnomalyLinks(self._links.window_ms, self._links.most)
        self._due_ms = first_due(self._records.values(), FLUSH_MS, self._resolve_ms)
        return updates

    def _look_at_mutes(self, now_ms: int) -> None:
        for record in self._requests.end(self._records.values(), self._config, now_ms):
            self._soil(record)

    def _soil(self, record: Record) -> None:
        """The record is to be sent again."""
        record.dirty = True
        self._due_ms = min(self._due_ms, record.sent_ms + FLUSH_MS)

    # -- inside ---------------------------------------------------------------------------------------------------------------

    def _flush(self, due: list[Record], now_ms: int) -> list[Anomaly]:
        updates: list[Anomaly] = []
        for record in sorted(due, key=order):
            # What counts as changed is measured against what was sent last, not against what was folded since.
            update = self._finished(record, self._related(record), update=True)
            record.dirty = False
            mark = digest(update)
            if mark != record.sent_mark:
                record.sent_ms, record.sent_mark = now_ms, mark
                updates.append(update)
        return updates

    def _ask_shield(self, anomaly: Anomaly) -> None:
        """A new anomaly carries what its detector asks of Shield."""
        for detector_id, scope, actions in self._shields:
            if detector_id == anomaly.detector_id and scope.matches(anomaly.tenant_id, anomaly.application_id, anomaly.model or None):
                anomaly.actions_taken = of_detector(actions, anomaly)
                return

    def _fold(self, record: Record, anomaly: Anomaly, now_ms: int) -> None:
        mark = occurrence(anomaly)
        if mark in record.occurrences:
            return
        record.occurrences[mark] = None
        if len(record.occurrences) > MAX_OCCURRENCES:
            del record.occurrences[next(iter(record.occurrences))]
        held = record.anomaly
        first_ms = from_rfc3339(anomaly.first_seen or anomaly.timestamp)
        last_ms = from_rfc3339(anomaly.last_seen or anomaly.timestamp)
        early = first_ms < record.first_ms
        record.anomaly = folded(record, anomaly, first_ms, last_ms)
        record.score = max(record.score, anomaly.score)
        record.severity = max(record.severity, anomaly.severity, key=SEVERITIES.index)
        record.last_ms = max(record.last_ms, last_ms)
        record.acknowledged = record.acknowledged and not record.resolved
        record.touched_ms, record.resolved = now_ms, False
        self._soil(record)
        self._due_ms = min(self._due_ms, now_ms + self._resolve_ms)
        if early or record.anomaly.context.get("trace_ids") != held.context.get("trace_ids"):
            # Its place in time moved, or it shares a trace with others now: those around it may gain or lose a relation, or another root.
            others = self._records.values()
            reach_ms = self._window_ms + record.first_ms - first_ms
            for other in others:
                if early and abs(other.first_ms - record.first_ms) <= reach_ms:
                    self._soil(other)
            self._links.remove(record, others)
            record.first_ms = min(record.first_ms, first_ms)
            for other in self._links.add(record, others):
                self._soil(other)

    def _related(self, record: Record) -> list[Record]:
        if not self._enabled:
            return []
        return sorted((self._records[name] for name in self._links.related(record)), key=order)

    def _link_all(self) -> None:
        """Link what is kept, after a restore or under other settings."""
        done: list[Record] = []
        for record in self._records.values():
            self._links.add(record, done)
            done.append(record)

    def _finished(self, record: Record, related: list[Record], update: bool) -> Anomaly:
        """The record as it is sent, and kept as the last one sent."""
        anomaly = record.anomaly
        detectors = {other.anomaly.detector_id for other in related} - {anomaly.detector_id}
        score = 1.0 - (1.0 - record.score) * AGREEMENT ** min(5, len(detectors))
        level = SEVERITIES.index(record.severity) + (1 if len(detectors) >= AGREEING else 0)
        root = min([record, *related], key=lambda other: (other.first_ms, -other.score, other.anomaly.anomaly_id)).anomaly
        correlation: dict[str, str] = {}
        if related:
            group = stable_id("correlation", anomaly.tenant_id, root.application_id, root.anomaly_id)
            correlation = {"group_id": group, "root_anomaly_id": root.anomaly_id}
        context = {**anomaly.context, "related_anomalies": [other.anomaly.anomaly_id for other in related]}
        context.pop("ended_at", None)
        if record.resolved:
            context["ended_at"] = anomaly.last_seen or anomaly.timestamp
        if sql := evidence_sql(anomaly):
            context["evidence_sql"] = sql
        record.anomaly = msgspec.structs.replace(
            anomaly,
            status=status_of(record),
            score=round(score, 4),
            severity=SEVERITIES[min(level, len(SEVERITIES) - 1)],
            first_seen=anomaly.first_seen or anomaly.timestamp,
            last_seen=anomaly.last_seen or anomaly.timestamp,
            context=context,
            correlation=correlation,
            actions_taken=anomaly.actions_taken if not update else [*anomaly.actions_taken[: record.shield_orders], *record.asked],
            update=update,
        )
        return record.anomaly

    def _expire(self, now_ms: int) -> list[Anomaly]:
        """Forget what no neighbour can change any more; neighbours with a pending update get it while they are complete."""
        oldest_ms = self._newest_ms - self._keep_ms
        gone = {name: r for name, r in self._records.items() if r.first_ms < oldest_ms and r.last_ms < oldest_ms}
        if not gone:
            return []
        for record in gone.values():
            record.dirty = record.dirty or not record.resolved
            record.resolved = True
        reach_ms = max(record.first_ms for record in gone.values()) + self._window_ms
        updates = self._flush([record for record in self._records.values() if record.dirty and record.first_ms <= reach_ms], now_ms)
        for name in gone:
            self._links.remove(self._records.pop(name), self._records.values())
        return updates

    # -- state ----------------------------------------------------------------------------------------------------------------

    def to_state(self) -> bytes:
        """Everything, versioned (msgpack)."""
        beside = (*self._requests.to_state(), self._fan_outs.to_state())
        return _encoder.encode([STATE_VERSION, self._newest_ms, self._idle_ms, list(self._records.values()), *beside])

    def _restore(self, state: bytes) -> None:
        try:
            decoded: Any = msgspec.msgpack.decode(state, strict=False)
        except (msgspec.DecodeError, ValueError) as error:
            raise StateError(f"correlation state of {len(state)} bytes is not msgpack: {error}") from error
        self._newest_ms, self._idle_ms, records, *asked = check_version(decoded, STATE_VERSION, "correlation state")
        # What comes last came later than the version of the state.
        silences = msgspec.convert(asked[0] if asked else [], list[Silence])
        self._requests = AnomalyRequests(silences, msgspec.convert(asked[1] if len(asked) > 1 else [], list[Snooze]))
        self._fan_outs = FanOuts(asked[2] if len(asked) > 2 else None)
        for raw in records:
            record = msgspec.convert(raw, Record)
            self._records[record.anomaly.anomaly_id] = record
        self._requests.configured(self._config, self._records.values())
        self._due_ms = first_due(self._records.values(), FLUSH_MS, self._resolve_ms)
        self._link_all()
