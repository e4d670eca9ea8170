"""Play a timeline against the alerting core on a virtual clock."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from sentinel.alerting.alerts import reported
from sentinel.alerting.engine import Attempt, Engine
from sentinel.alerting.muting import Silence
from sentinel.alerting.receivers import Integration, Receivers
from sentinel.alerting.retry import Response
from sentinel.alerting.timeline import Event, Timeline, TimelineError, Which, texts
from sentinel.config.errors import nearest
from sentinel.config.runtime import RuntimeConfig


class Simulation:
    """One run. `strict` is Alertmanager to the letter (`--compat alertmanager`)."""

    def __init__(self, config: RuntimeConfig, timeline: Timeline, *, strict: bool = False) -> None:
        self._timeline = timeline
        self._answers: dict[str, Response] = {}
        self._names = [receiver.name for receiver in config.receivers] + [group.name for group in config.receiver_groups]
        self._known = Receivers(config)
        self._resolve_timeout_ms = round(config.resolve_timeout_s * 1000)
        self._engine = Engine(config, self._respond, timeline.start_ms, strict=strict)

    def run(self) -> list[dict[str, Any]]:
        """The attempts in order: one mapping each, as the command writes them.

        Raises:
            TimelineError: an event that cannot happen, such as the answer of a receiver that does not exist.
        """
        end = self._timeline.instant(self._timeline.until)
        events = self._timeline.events
        for number, event in enumerate(events):
            at = self._timeline.instant(event.at)
            if at > end:
                break
            # Inputs come before timers: what is due at this very instant waits for all of its events.
            if at > self._timeline.start_ms:
                self._engine.advance(at - 1)
            try:
                self._happen(event, at)
            except ValueError as error:
                raise TimelineError(f"events[{number}] (at {event.at:g}): {error}") from None
        self._engine.advance(end)
        return [self._line(attempt) for attempt in sorted(self._engine.attempts, key=lambda attempt: (attempt.at, attempt.place))]

    def _happen(self, event: Event, at: int) -> None:
        engine, timeline = self._engine, self._timeline
        for posted in event.post or ():
            starts = None if posted.startsAt is None else timeline.instant(posted.startsAt)
            ends = None if posted.endsAt is None else timeline.instant(posted.endsAt)
            engine.post(reported(texts(posted.labels), texts(posted.annotations), starts, ends, at, self._resolve_timeout_ms), at)
        if event.silence is not None:
            engine.silence(Silence(event.silence.id, event.silence.matchers, at, timeline.instant(event.silence.until)))
        if event.expire is not None:
            engine.expire_silence(event.expire, at)
        for alert in self._alerts(event.ack, at):
            alert.acknowledged = True
        for alert in self._alerts(event.unack, at):
            alert.acknowledged = False
        for alert in self._alerts(event.snooze, at):
            alert.snoozed_until = timeline.instant(event.snooze.until) if event.snooze and event.snooze.until is not None else at
        if event.escalate is not None:
            engine.escalate(texts(event.escalate.labels), at)
        if event.receiver is not None:
            self._answer(event.receiver.name, str(event.receiver.respond))
        if event.restart is not None:
            engine.restart(at, graceful=event.restart == "term")

    def _alerts(self, which: Which | None, at: int) -> Iterator[Any]:
        if which is not None:
            yield from self._engine.matching(texts(which.labels), at)

    def _answer(self, name: str, response: str) -> None:
        if name not in self._known:
            hint = nearest(name, self._names)
            raise ValueError(
                f"receiver.name: expected a receiver that is defined, found {name!r}{f'; did you mean {hint}?' if hint else ''}"
            )
        self._answers[name] = response  # type: ignore[assignment]

    def _respond(self, integration: Integration) -> Response:
        return self._answers.get(integration.receiver) or self._answers.get(integration.name) or "200"

    def _line(self, attempt: Attempt) -> dict[str, Any]:
        seconds = (attempt.at - self._timeline.start_ms) / 1000
        return {
            "at": int(seconds) if seconds.is_integer() else seconds,
            "receiver": attempt.receiver,
            "status": "firing" if attempt.firing else "resolved",
            "groupLabels": attempt.group_labels,
            "alerts": [{"labels": labels, "status": "firing" if firing else "resolved"} for labels, firing in attempt.alerts],
            "attempt": attempt.attempt,
            "delivered": attempt.delivered,
        }


def to_lines(attempts: list[dict[str, Any]]) -> bytes:
    """One JSON object a line."""
    return b"".join(msgspec.json.encode(attempt) + b"\n" for attempt in attempts)
