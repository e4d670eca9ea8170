"""What people ask for about alerts, as it shows in the anomalies behind them: acknowledged, suppressed, and who did it.

A request names an alert (its key) or, as a silence, labels of alerts. An anomaly has the alerts that `match` gives it. It is *acknowledged* when
one of them is, until it ends or somebody takes that back; *suppressed* while each of them is silenced, snoozed, or in a maintenance window of the
configuration. Whatever changed an anomaly is noted in its `actions_taken`.

A snooze is of an alert, that is of the labels of an anomaly under the alert's key: a further anomaly with these labels is snoozed too, until the
time that was asked for, or until somebody declares the alert over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from sentinel.alerting.control import MAX_TEXT, Control
from sentinel.alerting.inhibition import MAX_SILENCES
from sentinel.alerting.labels import fingerprint
from sentinel.alerting.matching import AlertKey, match
from sentinel.alerting.muting import Silence, Silences
from sentinel.alerting.policy import policy_of
from sentinel.anomaly import Anomaly
from sentinel.config.runtime import RuntimeConfig
from sentinel.live_anomaly import NEVER, Record
from sentinel.timestamps import to_rfc3339

MAX_NOTED = 20
"""Requests that an anomaly keeps, the newest."""
SNOOZED = "snoozed"
_OF_ONE_ALERT = ("ack", "unack", "snooze", "resolve")


class Snooze(msgspec.Struct, array_like=True):
    """An alert (its key and the fingerprint of its labels) that nobody is told of up to `ends_at`, epoch milliseconds."""

    key: str
    labels: str
    ends_at: int


class AnomalyRequests:
    """Requests of one tenant that are still in force."""

    def __init__(self, silences: Iterable[Silence] = (), snoozes: Iterable[Snooze] = ()) -> None:
        self._silences = Silences(silences)
        self._snoozes = {(snooze.key, snooze.labels): snooze.ends_at for snooze in snoozes}
        self._next_change = NEVER
        self._maintains = False

    def configured(self, config: RuntimeConfig, records: Iterable[Record]) -> None:
        """A configuration is in force: maintenance windows and alerts may be others than those that the records know."""
        self._maintains = policy_of(config).mutes.maintains
        if self._maintains or len(self._silences) or self._snoozes or any(record.muted_by for record in records):
            self._next_change = 0

    def take(self, control: Control, records: Iterable[Record], config: RuntimeConfig, now_ms: int) -> list[Record]:
        """Do what is asked for; the records that changed. What cannot be done changes nothing: alerting answers why."""
        if control.action in ("silence", "expire"):
            return self._look_again(records, config, now_ms, control) if self._set(control, now_ms) else []
        if control.action not in _OF_ONE_ALERT or (control.action == "snooze" and control.until_ms <= now_ms):
            return []
        try:
            key = AlertKey.from_text(control.group_key)
        except ValueError:
            return []
        concerned = [record for record in records if not record.resolved and key in match(record.anomaly, config)]
        for record in concerned:
            self._do(record, key, control, config, now_ms)
        if control.action == "snooze":
            self._next_change = min(self._next_change, control.until_ms)
        return concerned

    def is_new(self, record: Record, config: RuntimeConfig, now_ms: int) -> bool:
        """Look whether the alerts of a record that has just begun are held back; whether they are."""
        record.muted_by = self._muting(record.anomaly, config, now_ms)
        if record.muted_by:
            self._note_muting(record, now_ms)
        return bool(record.muted_by)

    def next_end(self) -> int:
        """When a silence or a snooze ends, or a maintenance window opens or closes; `NEVER` when there is none. Known once `end` was called under the
        configuration."""
        return self._next_change or NEVER

    def end(self, records: Iterable[Record], config: RuntimeConfig, now_ms: int) -> list[Record]:
        """Let go of what is over, and see what has begun; the records that changed. To be called before anything else is done at a time."""
        return self._look_again(records, config, now_ms, None) if now_ms >= self._next_change else []

    def to_state(self) -> tuple[list[Silence], list[Snooze]]:
        """What `AnomalyRequests` takes to go on."""
        return self._silences.all(), [Snooze(*alert, ends_at) for alert, ends_at in self._snoozes.items()]

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

    def _do(self, record: Record, key: AlertKey, control: Control, config: RuntimeConfig, now_ms: int) -> None:
        alert = next((alert for alert in _alerts(record.anomaly, config) if alert[0] == key.to_text()), None)
        if control.action == "snooze" and alert is not None and len(self._snoozes) < MAX_SILENCES:
            self._snoozes[alert[0], fingerprint(alert[1])] = control.until_ms
            record.muted_by = self._muting(record.anomaly, config, now_ms)
        elif control.action == "resolve" and alert is not None:
            self._snoozes.pop((alert[0], fingerprint(alert[1])), None)
            record.resolved = True
        record.acknowledged = control.action == "ack" or (control.action == "snooze" and record.acknowledged)
        _note(record, key.definition_id, control)

    def _look_again(self, records: Iterable[Record], config: RuntimeConfig, now_ms: int, control: Control | None) -> list[Record]:
        self._silences.drop_expired(now_ms)
        self._snoozes = {alert: ends_at for alert, ends_at in self._snoozes.items() if ends_at > now_ms}
        windows = policy_of(config).mutes.next_maintenance(now_ms)
        ends = [silence.ends_at for silence in self._silences.all()] + list(self._snoozes.values())
        self._next_change = min([*ends, NEVER if windows is None else windows])
        changed = []
        for record in records:
            if record.resolved or (not record.muted_by and not ends and windows is None):
                continue
            before, record.muted_by = record.muted_by, self._muting(record.anomaly, config, now_ms)
            if record.muted_by == before:
                continue
            if control is not None:
                _note(record, control.silence_id, control)
            elif record.muted_by:
                self._note_muting(record, now_ms)
            else:
                _append(record, before, to_rfc3339(now_ms), f"no longer suppressed: {_named(before)} is over")
            changed.append(record)
        return changed

    def _muting(self, anomaly: Anomaly, config: RuntimeConfig, now_ms: int) -> str:
        """What holds the anomaly's alerts back, when each of them is held back: that of the last one."""
        mutes = policy_of(config).mutes
        if not (self._maintains or len(self._silences) or self._snoozes):
            return ""
        found = ""
        for key, labels in _alerts(anomaly, config):
            found = self._silences.silencing(labels, now_ms) or mutes.maintaining(labels, now_ms) or ""
            if not found and self._snoozes.get((key, fingerprint(labels)), 0) > now_ms:
                found = SNOOZED
            if not found:
                return ""
        return found

    def _note_muting(self, record: Record, now_ms: int) -> None:
        silence = next((silence for silence in self._silences.all() if silence.id == record.muted_by), None)
        if silence is not None:
            _append(record, silence.id, to_rfc3339(silence.starts_at), _by("silenced", silence.created_by, silence.comment))
        else:
            _append(record, record.muted_by, to_rfc3339(now_ms), f"suppressed: {_named(record.muted_by)}")


def status_of(record: Record) -> str:
    """The status that a record is sent with."""
    if record.resolved:
        return "resolved"
    return "suppressed" if record.muted_by else "acknowledged" if record.acknowledged else "active"


def _alerts(anomaly: Anomaly, config: RuntimeConfig) -> Iterator[tuple[str, dict[str, str]]]:
    """(key as text, labels) of each alert of the anomaly."""
    policy = policy_of(config)
    for key in match(anomaly, config):
        yield key.to_text(), policy.labels(anomaly, policy.definitions[key.definition_id], key.group_names)


def _named(muted_by: str) -> str:
    return "the snooze" if muted_by == SNOOZED else muted_by if muted_by.startswith("maintenance window ") else f"silence {muted_by}"


def _note(record: Record, target: str, control: Control) -> None:
    did = {
        "ack": "acknowledged",
        "unack": "acknowledgement taken back",
        "snooze": f"snoozed until {to_rfc3339(control.until_ms)}",
        "resolve": "resolved",
        "silence": "silenced",
        "expire": "silence ended",
    }
    _append(record, target, control.at, _by(did[control.action], control.by, control.comment))


def _by(what: str, by: str, comment: str) -> str:
    return f"{what} by {by or 'somebody'}" + (f": {comment}" if comment else "")


def _append(record: Record, target: str, at: str, reason: str) -> None:
    noted: dict[str, Any] = {"action": "log", "target": target, "status": "success", "timestamp": at, "reason": reason[:MAX_TEXT]}
    record.asked = [*record.asked, noted][-MAX_NOTED:]
