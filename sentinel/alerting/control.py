"""What people ask for: acknowledge, unacknowledge, snooze, escalate, resolve an alert; silence alerts, or end a silence."""

from __future__ import annotations

from typing import Literal

import msgspec

from sentinel.alerting.matching import AlertKey
from sentinel.alerting.notification import decision_record
from sentinel.alerting.records import Output
from sentinel.alerting.state import GroupState
from sentinel.alerting.telling import Telling

Action = Literal["ack", "unack", "snooze", "escalate", "resolve", "silence", "expire"]
MAX_TEXT = 1_000


class Control(msgspec.Struct, frozen=True, kw_only=True):
    """One request on the topic `sentinel-control`.

    Attributes:
        group_key: text of the alert key, for requests about one alert.
        alert_id: the alert that is meant; a request for one that is over does nothing to its successor.
        silence_id, matchers: for `silence` and `expire`.
        until_ms: end of a silence or snooze, epoch milliseconds.
    """

    control_id: str
    action: Action
    tenant_id: str
    at: str
    by: str = ""
    comment: str = ""
    alert_id: str = ""
    group_key: str = ""
    silence_id: str = ""
    matchers: list[str] = []
    until_ms: int = 0

    def to_json(self) -> bytes:
        """The request as UTF-8 JSON."""
        return _encoder.encode(self)

    @staticmethod
    def from_json(data: bytes | str) -> Control:
        """Parse what `to_json` wrote. Raises `msgspec.ValidationError` (a ValueError)."""
        return _decoder.decode(data)


class Answer(msgspec.Struct, frozen=True):
    """What came of a request."""

    done: bool
    detail: str


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Control)


def apply(control: Control, key: AlertKey, state: GroupState, telling: Telling, now: int) -> tuple[Answer, list[Output]]:
    """Do it to the state of one alert key. What was asked for another tenant's alert, or for one that is over, is refused."""
    if control.tenant_id not in (key.tenant_id, "*"):
        return Answer(done=False, detail="no such alert"), []
    if not state.alert_id or state.phase != "firing" or control.alert_id not in ("", state.alert_id):
        return Answer(done=False, detail="the alert does not fire"), []
    firing = [member for member in state.members.values() if member.firing]
    detail = f"{control.action} by {control.by or 'somebody'}"
    if control.action in ("ack", "unack"):
        for member in firing:
            member.acknowledged = control.action == "ack"
    elif control.action == "snooze":
        if control.until_ms <= now:
            return Answer(done=False, detail="expected an end in the future"), []
        for member in firing:
            member.snoozed_until = control.until_ms
    elif control.action == "escalate":
        if not telling.escalate(now):
            return Answer(done=False, detail="no escalation step is left, or there is no policy"), []
    elif control.action == "resolve":
        for member in firing:
            member.ends_at = now
    else:
        return Answer(done=False, detail=f"{control.action} is not about one alert"), []
    state.decisions += 1
    text = f"{detail}: {control.comment}"[:MAX_TEXT] if control.comment else detail
    record = decision_record(key, state, "", "control", text, now, len(firing), 0)
    return Answer(done=True, detail=detail), [record]
