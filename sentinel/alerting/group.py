"""Life cycle of one alert key: pending → firing → resolved, and who is told when.

Everything that waits is a due time in the state. Due things are done in the order of their due times and stamped with those, not with the
moment at which a timer happened to run: outputs are a function of state and input, and a late or replayed timer makes the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator

from sentinel.alerting import aggregation
from sentinel.alerting.labels import ALL_LABELS, common, fingerprint
from sentinel.alerting.matching import AlertKey
from sentinel.alerting.notification import alert_record, annotations_of, notification_record
from sentinel.alerting.policy import CompiledDefinition, Target, policy_of
from sentinel.alerting.records import MAX_ANOMALY_IDS, Output, alert_id
from sentinel.alerting.state import Delivery, GroupState, Member, Sample, decode, encode, rank
from sentinel.alerting.timing import change_due, repeat_due, throttled
from sentinel.anomaly import Anomaly
from sentinel.config.runtime import RuntimeConfig
from sentinel.timestamps import from_rfc3339, to_rfc3339

MAX_MEMBERS = 50
"""Label sets told apart in one alert; further ones are put together by severity."""

MEMORY_MS = 3_600_000
"""How long (processing time) a key is remembered after its alert, so that replays and late updates find it."""


class AlertGroup:
    """One alert key. Make it with `from_state`; times are epoch milliseconds of processing time, given by the caller."""

    def __init__(self, key: AlertKey, state: GroupState, config: RuntimeConfig, running_since_ms: int = 0) -> None:
        self._key = key
        self._state = state
        self._running_since = running_since_ms
        self.apply_config(config)
        for member in state.members.values():
            if member.firing:
                member.expires = max(member.expires, running_since_ms + self._policy.resolve_timeout_ms)

    @classmethod
    def from_state(cls, key: AlertKey | str, data: bytes | None, config: RuntimeConfig, running_since_ms: int = 0) -> AlertGroup:
        """The group as `to_state` left it; None or no bytes make a new one.

        Args:
            key: the alert key or its text.
            running_since_ms: processing time since which this worker has run. Silence is claimed only for time that was watched: after a
                restart the resolve timeout starts anew, so that a pause of ours resolves nothing.

        Raises:
            ValueError: for a damaged state, or one of another codec version.
        """
        known = AlertKey.from_text(key) if isinstance(key, str) else key
        return cls(known, decode(data) if data else GroupState(), config, running_since_ms)

    def to_state(self) -> bytes:
        """The state, versioned. No bytes when there is nothing to remember: clear the key's state."""
        return encode(self._state) if self._state.seen else b""

    def apply_config(self, config: RuntimeConfig) -> None:
        """Use another configuration from now on. What was told stays told; new receivers are told after their group_wait."""
        self._policy = policy_of(config)
        self._definition = self._policy.definitions.get(self._key.definition_id)

    def next_timer(self) -> int | None:
        """When `on_timer` is due next, or None."""
        state = self._state
        if state.fires_at is None:
            return state.forget_at
        due = [state.fires_at] if state.phase == "pending" else []
        due += [delivery.next_flush for delivery in state.deliveries.values() if delivery.next_flush is not None]
        due += [member.expires for member in state.members.values() if member.firing]
        return min(due, default=None)

    def on_timer(self, now_ms: int) -> list[Output]:
        """Do what is due by now. Calls that come too early, late or twice do no harm."""
        self._adopt_version(now_ms)
        return list(self._advance(now_ms))

    def on_anomaly(self, anomaly: Anomaly, now_ms: int) -> list[Output]:
        """Take in one record of an anomaly that `match` gave this key. A record that says nothing new changes nothing.

        Raises:
            ValueError: when the record's times are not RFC 3339.
        """
        self._adopt_version(now_ms)
        outputs = list(self._advance(now_ms))
        if self._fold(anomaly, now_ms):
            if self._state.phase == "firing":
                outputs.append(alert_record(self._key, self._state, self._policy))
            outputs += self._advance(now_ms)
        return outputs

    def _advance(self, now: int) -> Iterator[Output]:
        state = self._state
        while (due := self.next_timer()) is not None and due <= now:
            if state.fires_at is None:
                self._state = GroupState()
                return
            if state.phase == "pending" and state.fires_at <= due:
                state.phase = "firing"
                state.alert_id = state.alert_id or self._alert_id(state.starts_at)
                yield alert_record(self._key, state, self._policy)
            for receiver in sorted(state.deliveries):
                delivery = state.deliveries[receiver]
                if delivery.next_flush is not None and delivery.next_flush <= due:
                    yield from self._flush(receiver, delivery, due)
            yield from self._expire(due)

    def _fold(self, anomaly: Anomaly, now: int) -> bool:
        """Take the record into the state; whether it said something new about an alert that is raised."""
        state = self._state
        last_seen = from_rfc3339(anomaly.last_seen or anomaly.timestamp)
        first_seen = from_rfc3339(anomaly.first_seen) if anomaly.first_seen else last_seen
        was_known = anomaly.anomaly_id in state.seen
        gained = state.note(anomaly.anomaly_id, anomaly.count, last_seen)
        if gained is None:
            return False
        if state.phase == "resolved":
            state = self._begin_again(reopen=was_known or self._alert_id(first_seen) == state.alert_id)
        name, is_new = self._member(anomaly, first_seen, last_seen, now)
        sample = Sample(anomaly.anomaly_id, first_seen, last_seen, gained, anomaly.metrics.get("observed_value"))
        if state.fires_at is None:
            return self._collect(sample, now)
        self._count([sample])
        state.labels = common([state.labels, state.members[name].labels])
        state.severity = max(state.severity, rank(anomaly.severity))
        if is_new:
            self._announce(name, now)
        return True

    def _member(self, anomaly: Anomaly, first_seen: int, last_seen: int, now: int) -> tuple[str, bool]:
        """Bring the label set of the anomaly up to date; its fingerprint, and whether it begins to fire with this record."""
        members = self._state.members
        labels = self._policy.labels(anomaly, self._definition or self._unknown_definition(), self._key.group_names)
        name = fingerprint(labels)
        if name not in members and len(members) >= MAX_MEMBERS:
            kept = {"alertname", "tenant_id", "severity", *self._key.group_names}
            labels = {label: value for label, value in labels.items() if label in kept}
            name = fingerprint(labels)
        newest = (last_seen, anomaly.anomaly_id)
        member = members.get(name)
        if member is None:
            member = members[name] = Member(labels, annotations_of(anomaly), newest, first_seen, last_seen, 0, firing=False)
        elif newest >= member.newest:
            member.annotations, member.newest = annotations_of(anomaly), newest
        is_new, member.firing = not member.firing, True
        member.starts_at = min(member.starts_at, first_seen)
        member.last_seen = max(member.last_seen, last_seen)
        member.expires = max(member.expires, now + self._policy.resolve_timeout_ms)
        return name, is_new

    def _collect(self, sample: Sample, now: int) -> bool:
        """Pending: wait until the aggregation is reached, then raise the alert."""
        state, definition = self._state, self._definition
        window = definition.window_ms if definition else None
        aggregation.add(state.samples, sample, window or MEMORY_MS)
        if definition and window is not None and not aggregation.reached(state.samples, definition.source):
            state.forget_at = now + max(window, MEMORY_MS)
            return False
        edge = min(entry.at for entry in state.samples)
        state.members = {name: member for name, member in state.members.items() if member.last_seen >= edge}
        if not state.alert_id:
            state.starts_at = min(entry.first_seen for entry in state.samples)
        earlier = [state.labels] if state.alert_id else []
        state.labels = common(earlier + [member.labels for member in state.members.values()])
        self._count(state.samples)
        state.samples, state.forget_at = [], None
        for name, member in state.members.items():
            state.severity = max(state.severity, rank(member.labels.get("severity", "")))
            member.expires = now + self._policy.resolve_timeout_ms
            self._announce(name, now)
        state.fires_at = min((delivery.origin for delivery in state.deliveries.values() if delivery.origin is not None), default=now)
        return True

    def _count(self, samples: list[Sample]) -> None:
        state = self._state
        for sample in samples:
            state.count += sample.count
            state.last_seen = max(state.last_seen, sample.at)
            if state.phase == "pending" and not state.alert_id:
                state.starts_at = min(state.starts_at, sample.first_seen)
            if sample.anomaly_id not in state.anomaly_ids and len(state.anomaly_ids) < MAX_ANOMALY_IDS:
                state.anomaly_ids.append(sample.anomaly_id)

    def _announce(self, name: str, now: int) -> None:
        """A label set begins to fire: make each receiver on its route due, and keep the label set until it had the chance to be told."""
        state = self._state
        member = state.members[name]
        severity = rank(member.labels.get("severity", ""))
        for target in self._targets(member):
            delivery = state.deliveries.setdefault(target.receiver, Delivery())
            if name in delivery.told:
                continue
            due = change_due(delivery, target, now)
            member.expires = max(member.expires, due)
            if severity <= delivery.told_severity:
                due = throttled(delivery, target, due, self._max_frequency)
            delivery.next_flush = due if delivery.next_flush is None else min(delivery.next_flush, due)
            if target.receiver not in state.receivers:
                state.receivers.append(target.receiver)

    def _flush(self, receiver: str, delivery: Delivery, due: int) -> Iterator[Output]:
        state, definition = self._state, self._definition
        delivery.next_flush = None
        target = next((found for member in state.members.values() for found in self._targets(member) if found.receiver == receiver), None)
        concerned = self._concerned(receiver, delivery)
        firing = {name: member for name, member in concerned if member.firing}
        if definition is None or target is None or not firing:
            return
        if definition.active_hours is not None and not definition.active_hours.is_active(due):
            delivery.next_flush = definition.active_hours.next_active(due)
            return
        delivery.sequence += 1
        delivery.told = sorted(firing)
        delivery.told_severity = max(rank(member.labels.get("severity", "")) for member in firing.values())
        delivery.last_flush = delivery.last_firing = due
        delivery.next_flush = repeat_due(delivery, target, due, self._max_frequency, self._running_since)
        yield notification_record(self._key, state, self._policy, definition, receiver, concerned, due)

    def _expire(self, due: int) -> Iterator[Output]:
        """Label sets without an anomaly for the resolve timeout are resolved, and the receivers told once nothing of theirs fires."""
        state = self._state
        expired = [member for member in state.members.values() if member.firing and member.expires <= due]
        if not expired:
            return
        for member in expired:
            member.firing = False
        if not any(member.firing for member in state.members.values()):
            state.phase, state.fires_at = "resolved", None
            state.forget_at = due + max(MEMORY_MS, self._max_frequency)
            yield alert_record(self._key, state, self._policy)
        for receiver in sorted(state.deliveries):
            delivery = state.deliveries[receiver]
            concerned = self._concerned(receiver, delivery)
            if delivery.origin is None or any(member.firing for _, member in concerned):
                continue
            settings = self._policy.receivers.get(receiver)
            delivery.rest()
            if concerned and settings and settings.send_resolved:
                delivery.sequence += 1
                definition = self._definition or self._unknown_definition()
                yield notification_record(self._key, state, self._policy, definition, receiver, concerned, due)
        still_told = {name for delivery in state.deliveries.values() for name in delivery.told}
        state.members = {name: member for name, member in state.members.items() if member.firing or name in still_told}

    def _concerned(self, receiver: str, delivery: Delivery) -> list[tuple[str, Member]]:
        """Label sets that the receiver was told or, firing and on its route, is to be told."""
        return [
            (name, member)
            for name, member in self._state.members.items()
            if name in delivery.told or (member.firing and any(target.receiver == receiver for target in self._targets(member)))
        ]

    def _targets(self, member: Member) -> list[Target]:
        """The member's receivers on routes that group as this key does. A definition that is gone or not yet known tells nobody."""
        if self._definition is None:
            return []
        targets = [target for target in self._policy.targets(self._definition, member.labels) if target.receiver in self._policy.receivers]
        if self._definition.group_by is not None:
            return targets
        return [target for target in targets if target.group_by in (self._key.group_names, (ALL_LABELS,))]

    def _begin_again(self, *, reopen: bool) -> GroupState:
        """After a resolved alert: the same alert again when an anomaly of it goes on, otherwise a new one."""
        state = self._state
        fresh = GroupState(seen=state.seen, deliveries=state.deliveries, config_version=state.config_version)
        if reopen:
            fresh.alert_id, fresh.starts_at, fresh.count, fresh.severity = state.alert_id, state.starts_at, state.count, state.severity
            fresh.anomaly_ids, fresh.labels, fresh.last_seen = state.anomaly_ids, state.labels, state.last_seen
            fresh.receivers = state.receivers
        else:
            for delivery in state.deliveries.values():
                delivery.sequence = 0
        self._state = fresh
        return fresh

    def _adopt_version(self, now: int) -> None:
        state = self._state
        if state.config_version == self._policy.version:
            return
        state.config_version = self._policy.version
        if state.fires_at is None:
            return
        for name, member in state.members.items():
            if member.firing:
                self._announce(name, now)

    @property
    def _max_frequency(self) -> int:
        return self._definition.max_frequency_ms if self._definition else 0

    def _unknown_definition(self) -> CompiledDefinition:
        return self._policy.unknown_definition(self._key.definition_id)

    def _alert_id(self, starts_at: int) -> str:
        return alert_id(self._key.tenant_id, self._key.definition_id, self._key.group_text(), to_rfc3339(starts_at))
