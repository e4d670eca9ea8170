"""Life cycle of one alert key: pending → firing → resolved, and who is told when.

Everything that waits is a due time in the state. Due things are done in the order of their due times and stamped with those, not with the
moment at which a timer happened to run: outputs are a function of state and input, and a late or replayed timer makes the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator

from sentinel import shield
from sentinel.alerting import aggregation, members
from sentinel.alerting.control import Answer, Control, apply
from sentinel.alerting.labels import common
from sentinel.alerting.matching import AlertKey
from sentinel.alerting.muting import Mutes
from sentinel.alerting.notification import alert_record
from sentinel.alerting.policy import policy_of
from sentinel.alerting.records import MAX_ANOMALY_IDS, Output, alert_id
from sentinel.alerting.state import GroupState, Sample, decode, encode, rank
from sentinel.alerting.telling import Telling
from sentinel.anomaly import Anomaly
from sentinel.config.runtime import RuntimeConfig
from sentinel.timestamps import from_rfc3339, to_rfc3339

REPORT_MS = 1_000
"""Least time between two records of an alert that differ only in how often and when its anomalies occurred."""

MEMORY_MS = 3_600_000
"""How long (processing time) a key is remembered after its alert, so that replays and late updates find it."""


class AlertGroup:
    """One alert key. Make it with `from_state`; times are epoch milliseconds of processing time, given by the caller."""

    def __init__(
        self, key: AlertKey, state: GroupState, config: RuntimeConfig, running_since_ms: int = 0, mutes: Mutes | None = None
    ) -> None:
        self.key = key
        self._state = state
        self._running_since = running_since_ms
        self._mutes = mutes
        self.apply_config(config)
        for member in state.members.values():
            if member.firing:
                member.ends_at = max(member.ends_at, running_since_ms + self._policy.resolve_timeout_ms)
        self._telling.skip_missed()

    @classmethod
    def from_state(
        cls, key: AlertKey | str, data: bytes | None, config: RuntimeConfig, running_since_ms: int = 0, mutes: Mutes | None = None
    ) -> AlertGroup:
        """The group as `to_state` left it; None or no bytes make a new one.

        Args:
            key: the alert key or its text.
            running_since_ms: processing time since which this worker has run. Silence is claimed only for time that was watched: after a
                restart the resolve timeout starts anew, so that a pause of ours resolves nothing.
            mutes: silences and inhibition in force; without them those of the configuration.

        Raises:
            ValueError: for a damaged state, or one of another codec version.
        """
        known = AlertKey.from_text(key) if isinstance(key, str) else key
        return cls(known, decode(data) if data else GroupState(), config, running_since_ms, mutes)

    def to_state(self) -> bytes:
        """The state, versioned. No bytes when there is nothing to remember: clear the key's state."""
        return b"" if self.is_forgotten() else encode(self._state)

    def is_forgotten(self) -> bool:
        """Whether there is nothing to remember."""
        return not self._state.seen

    def apply_config(self, config: RuntimeConfig) -> None:
        """Use another configuration from now on. What was told stays told; new receivers are told after their group_wait."""
        self._config, self._policy = config, policy_of(config)
        self._definition = self._policy.definitions.get(self.key.definition_id)
        mutes = self._mutes or self._policy.mutes
        self._telling = Telling(self.key, self._state, self._policy, self._definition, mutes, self._running_since)

    def adopt(self, config: RuntimeConfig, mutes: Mutes | None) -> None:
        """As `apply_config`, with other mutes. Does nothing when both are in use already."""
        if config is not self._config or mutes is not self._mutes:
            self._mutes = mutes
            self.apply_config(config)

    def wake(self, now_ms: int) -> None:
        """Something outside changed (silences, inhibition, configuration): every group looks again at its next tick."""
        self._telling.wake(now_ms + 1)

    def next_timer(self) -> int | None:
        """When `on_timer` is due next, or None."""
        state, due = self._state, self._telling.next_due()
        if state.fires_at is not None:
            for member in state.members.values():
                if member.firing and (due is None or member.ends_at < due):
                    due = member.ends_at
            if state.phase == "pending" and (due is None or state.fires_at < due):
                due = state.fires_at
        if state.unreported and (due is None or state.reported_at + REPORT_MS < due):
            due = state.reported_at + REPORT_MS
        return state.forget_at if due is None else due

    def on_timer(self, now_ms: int) -> list[Output]:
        """Do what is due by now. Calls that come too early, late or twice do no harm."""
        return [*self._adopt_version(now_ms), *self._advance(now_ms)]

    def on_anomaly(self, anomaly: Anomaly, now_ms: int) -> list[Output]:
        """Take in one record of an anomaly that `match` gave this key. A record that says nothing new changes nothing.

        Raises:
            ValueError: when the record's times are not RFC 3339.
        """
        outputs = [*self._adopt_version(now_ms), *self._advance(now_ms)]
        joined: list[Output] = []
        before = (self._state.alert_id, self._state.labels, self._state.severity)
        if self._fold(anomaly, now_ms, joined):
            state = self._state
            if state.phase == "firing":
                if joined or before != (state.alert_id, state.labels, state.severity) or now_ms >= state.reported_at + REPORT_MS:
                    outputs.append(self._report(now_ms))
                else:
                    state.unreported = True
            outputs += [*joined, *self._advance(now_ms)]
        return outputs

    def on_control(self, control: Control, now_ms: int) -> tuple[Answer, list[Output]]:
        """Do what somebody asks for: acknowledge, unacknowledge, snooze, escalate, resolve. The answer says what came of it."""
        outputs = [*self._adopt_version(now_ms), *self._advance(now_ms)]
        answer, changed = apply(control, self.key, self._state, self._telling, now_ms)
        outputs += changed
        self._telling.wake(now_ms + 1)
        if answer.done and self._state.phase == "firing":
            outputs.append(self._report(now_ms))
        return answer, [*outputs, *self._advance(now_ms)]

    def _advance(self, now: int) -> Iterator[Output]:
        state = self._state
        while (due := self.next_timer()) is not None and due <= now:
            if state.fires_at is None and not state.clocks:
                self._replace(GroupState())
                return
            if state.phase == "pending" and state.fires_at is not None and state.fires_at <= due:
                state.phase = "firing"
                state.alert_id = state.alert_id or self._alert_id(state.starts_at)
                yield self._report(due)
            yield from self._expire(due)
            if state.unreported and state.reported_at + REPORT_MS <= due:
                yield self._report(due)
            yield from self._telling.turn(due)

    def _report(self, now: int) -> Output:
        state = self._state
        record = alert_record(self.key, state, self._policy)
        del state.shield_again[: shield.ASKED_AT_ONCE]
        state.reported_at, state.unreported = now, bool(state.shield_again)
        return record

    def _replace(self, state: GroupState) -> None:
        self._state = self._telling.state = state

    def _fold(self, anomaly: Anomaly, now: int, joined: list[Output]) -> bool:
        """Take the record into the state; whether it said something new about an alert that is raised."""
        state = self._state
        last_seen = from_rfc3339(anomaly.last_seen or anomaly.timestamp)
        first_seen = from_rfc3339(anomaly.first_seen) if anomaly.first_seen else last_seen
        was_known = anomaly.anomaly_id in state.seen
        gained = state.note(anomaly.anomaly_id, anomaly.count, last_seen)
        if gained is None:
            return False
        if state.phase == "resolved":
            goes_on = was_known or state.asked_of_shield(anomaly.anomaly_id) or bool(state.clocks)
            state = self._begin_again(reopen=goes_on or self._alert_id(first_seen) == state.alert_id, at=last_seen)
        state.forgotten_asking += shield.note_asking(state.asking, anomaly.anomaly_id, anomaly.actions_taken)
        if state.revoked.pop(anomaly.anomaly_id, None) is not None:
            state.shield_again += shield.asked_again(anomaly.actions_taken, to_rfc3339(last_seen))
        name, is_new = members.report(
            state.members, self.key, anomaly, self._policy, self._definition, first_seen=first_seen, last_seen=last_seen, now=now
        )
        sample = Sample(anomaly.anomaly_id, first_seen, last_seen, gained, anomaly.metrics.get("observed_value"))
        if state.fires_at is None:
            return self._collect(sample, now)
        self._count([sample])
        if not state.labels.items() <= state.members[name].labels.items():
            state.labels = common([state.labels, state.members[name].labels])
        state.severity = max(state.severity, rank(state.members[name].labels.get("severity", "")))
        if is_new:
            joined += self._announce(name, now)
        return True

    def _collect(self, sample: Sample, now: int) -> bool:
        """Pending: wait until the aggregation is reached, then raise the alert."""
        state, definition = self._state, self._definition
        window = definition.window_ms if definition else None
        aggregation.add(state.samples, sample, window or MEMORY_MS)
        if definition and window is not None and not aggregation.reached(state.samples, definition.source):
            state.forget_at = now + max(window, MEMORY_MS)
            return False
        edge = min(entry.at for entry in state.samples)
        held = {name for clock in state.clocks for name in clock.names}
        state.members = {name: member for name, member in state.members.items() if member.last_seen >= edge or name in held}
        if not state.alert_id:
            state.starts_at = min(entry.first_seen for entry in state.samples)
        earlier = [state.labels] if state.alert_id else []
        state.labels = common(earlier + [member.labels for member in state.members.values()])
        self._count(state.samples)
        state.samples, state.forget_at = [], None
        for name, member in state.members.items():
            if not member.firing:
                continue
            state.severity = max(state.severity, rank(member.labels.get("severity", "")))
            member.ends_at = now + self._policy.resolve_timeout_ms
            # Pending: there is no alert yet that a decision could be about.
            list(self._announce(name, now))
        state.fires_at = self._telling.next_due() or now
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

    def _announce(self, name: str, now: int) -> Iterator[Output]:
        """A label set begins to fire: it joins its groups, and is kept until its receivers had the chance to be told."""
        yield from self._telling.join(name, now)
        member = self._state.members[name]
        first = self._telling.first_due(name)
        member.ends_at = max(member.ends_at, now + 1 if first is None else first + 1)

    def _expire(self, due: int) -> Iterator[Output]:
        """Label sets without an anomaly for the resolve timeout are over; the receivers are told at the next tick of their group."""
        state, flap = self._state, self._policy.flap
        expired = [member for member in state.members.values() if member.firing and member.ends_at <= due]
        if not expired:
            return
        state.ends = [at for at in state.ends if at > due - round(flap.window_s * 1000)] if flap.changes else []
        state.flapping = bool(flap.changes) and (state.flapping or len(state.ends) >= flap.changes)
        if state.flapping:
            for member in expired:
                member.ends_at = max(due, member.updated_at + round(flap.hold_s * 1000))
            expired = [member for member in expired if member.ends_at <= due]
            if not expired:
                return
            state.flapping = False
        state.ends = [*state.ends, due][-flap.changes :] if flap.changes else []
        self._telling.wake(due)
        for member in expired:
            member.firing = False
        if not any(member.firing for member in state.members.values()):
            state.phase, state.fires_at = "resolved", None
            definition = self._definition
            state.forget_at = due + max(MEMORY_MS, definition.max_frequency_ms if definition else 0)
            yield self._report(due)

    def _begin_again(self, *, reopen: bool, at: int) -> GroupState:
        """After a resolved alert: the same alert again when an anomaly of it goes on, otherwise a new one. `at` is event time."""
        fresh = self._state.successor(reopen=reopen, at=at)
        self._replace(fresh)
        return fresh

    def _adopt_version(self, now: int) -> Iterator[Output]:
        state = self._state
        if state.config_version == self._policy.version:
            return
        state.config_version = self._policy.version
        self._telling.wake(now)
        self._telling.leave_old_routes()
        if state.fires_at is None:
            return
        for name, member in state.members.items():
            if member.firing:
                yield from self._announce(name, now)

    def _alert_id(self, starts_at: int) -> str:
        return alert_id(self.key.tenant_id, self.key.definition_id, self.key.group_text(), to_rfc3339(starts_at))
