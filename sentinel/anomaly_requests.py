"""What people ask for about alerts, as it shows in the anomalies behind them: acknowledged, suppressed, and who did it.

A request names an alert (its key) or, as a silence, labels of alerts. An anomaly has the alerts that `match` gives it. It is *acknowledged* when
one of them is, until it ends or somebody takes that back; *suppressed* while a silence covers all of them. Every request that changed
an anomaly is noted in its `actions_taken`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sentinel.alerting.control import MAX_TEXT, Control
from sentinel.alerting.inhibition import MAX_SILENCES
from sentinel.alerting.matching import AlertKey, match
from sentinel.alerting.muting import Silence, Silences
from sentinel.alerting.policy import policy_of
from sentinel.anomaly import Anomaly
from sentinel.config.runtime import RuntimeConfig
from sentinel.live_anomaly import NEVER, Record
from sentinel.timestamps import to_rfc3339

MAX_NOTED = 20
"""Requests that an anomaly keeps, the newest."""
_OF_ONE_ALERT = ("ack", "unack", "resolve")


class AnomalyRequests:
    """Requests of one tenant that are still in force."""

    def __init__(self, silences: Iterable[Silence] = ()) -> None:
        self._silences = Silences(silences)
        self._next_end = min((silence.ends_at for silence in self._silences.all()), default=NEVER)

    def take(self, control: Control, records: Iterable[Record], config: RuntimeConfig, now_ms: int) -> list[Record]:
        """Do what is asked for; the records that changed. What cannot be done changes nothing: alerting answers why."""
        if control.action in ("silence", "expire"):
            if not self._set(control, now_ms):
                return []
            return self._look_again(records, config, now_ms, control)
        if control.action not in _OF_ONE_ALERT:
            return []
        try:
            key = AlertKey.from_text(control.group_key)
        except ValueError:
            return []
        changed = [record for record in records if not record.resolved and key in match(record.anomaly, config)]
        for record in changed:
            record.resolved = control.action == "resolve"
            record.acknowledged = control.action == "ack"
            _note(record, key.definition_id, control)
        return changed

    def is_new(self, record: Record, config: RuntimeConfig, now_ms: int) -> bool:
        """Look whether a silence covers a record that has just begun; whether one does."""
        if len(self._silences):
            record.silence = self._silencing(record.anomaly, config, now_ms)
            if record.silence:
                _note_silence(record, next(silence for silence in self._silences.all() if silence.id == record.silence))
        return bool(record.silence)

    def next_end(self) -> int:
        """When a silence ends next; `NEVER` when there is none."""
        return self._next_end

    def end(self, records: Iterable[Record], config: RuntimeConfig, now_ms: int) -> list[Record]:
        """Let go of silences that are over; the records that changed."""
        if now_ms < self._next_end:
            return []
        self._silences.drop_expired(now_ms)
        return self._look_again(records, config, now_ms, None)

    def to_state(self) -> list[Silence]:
        """What `AnomalyRequests` takes to go on."""
        return self._silences.all()

    def _set(self, control: Control, now_ms: int) -> bool:
        if control.action == "expire":
            return self._silences.expire(control.silence_id, now_ms)
        if control.until_ms <= now_ms or len(self._silences) >= MAX_SILENCES:
            return False
        wanted = Silence(control.silence_id, control.matchers, now_ms, control.until_ms, control.by, control.comment)
        try:
            self._silences.set(wanted)
        except ValueError:
            return False
        return True

    def _look_again(self, records: Iterable[Record], config: RuntimeConfig, now_ms: int, control: Control | None) -> list[Record]:
        self._silences.drop_expired(now_ms)
        self._next_end = min((silence.ends_at for silence in self._silences.all()), default=NEVER)
        changed = []
        for record in records:
            if record.resolved or (not record.silence and not len(self._silences)):
                continue
            silence = self._silencing(record.anomaly, config, now_ms)
            if silence != record.silence:
                record.silence = silence
                if control is not None:
                    _note(record, control.silence_id, control)
                changed.append(record)
        return changed

    def _silencing(self, anomaly: Anomaly, config: RuntimeConfig, now_ms: int) -> str:
        """Id of a silence when every alert of the anomaly has one."""
        policy = policy_of(config)
        found = ""
        for key in match(anomaly, config):
            labels = policy.labels(anomaly, policy.definitions[key.definition_id], key.group_names)
            found = self._silences.silencing(labels, now_ms) or ""
            if not found:
                return ""
        return found


def status_of(record: Record) -> str:
    """The status that a record is sent with."""
    if record.resolved:
        return "resolved"
    return "suppressed" if record.silence else "acknowledged" if record.acknowledged else "active"


def _note(record: Record, target: str, control: Control) -> None:
    did = {"ack": "acknowledged", "unack": "acknowledgement taken back", "resolve": "resolved", "silence": "silenced", "expire": "silence ended"}
    _append(record, target, control.at, did[control.action], control.by, control.comment)


def _note_silence(record: Record, silence: Silence) -> None:
    _append(record, silence.id, to_rfc3339(silence.starts_at), "silenced", silence.created_by, silence.comment)


def _append(record: Record, target: str, at: str, what: str, by: str, comment: str) -> None:
    reason = f"{what} by {by or 'somebody'}" + (f": {comment}" if comment else "")
    noted: dict[str, Any] = {"action": "log", "target": target, "status": "success", "timestamp": at, "reason": reason[:MAX_TEXT]}
    record.asked = [*record.asked, noted][-MAX_NOTED:]
