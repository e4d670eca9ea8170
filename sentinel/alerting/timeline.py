"""A timeline for `sentinel alerts simulate`: what happens to alerts, silences, receivers and the process, second by second."""

from __future__ import annotations

from typing import Literal

import msgspec

from sentinel.config.document import DocumentError, read_document
from sentinel.timestamps import from_rfc3339

MAX_BYTES = 64_000_000
Value = str | int | float | bool
Moment = float | str
"""Seconds since the start of the timeline, or an RFC 3339 time."""


class PostedAlert(msgspec.Struct, forbid_unknown_fields=True):
    """One alert as it is posted to Alertmanager."""

    labels: dict[str, Value]
    annotations: dict[str, Value] = {}
    startsAt: Moment | None = None  # noqa: N815
    endsAt: Moment | None = None  # noqa: N815


class PostedSilence(msgspec.Struct, forbid_unknown_fields=True):
    """A silence from now on."""

    id: str
    matchers: list[str]
    until: Moment


class Which(msgspec.Struct, forbid_unknown_fields=True):
    """The firing alerts that have these labels."""

    labels: dict[str, Value]
    until: Moment | None = None


class Answer(msgspec.Struct, forbid_unknown_fields=True):
    """How a receiver answers from now on."""

    name: str
    respond: Literal[200, 400, 429, 500, "200", "400", "429", "500", "timeout"]


class Event(msgspec.Struct, forbid_unknown_fields=True):
    """One thing that happens; exactly one of the fields after `at` is given."""

    at: float
    post: list[PostedAlert] | None = None
    silence: PostedSilence | None = None
    expire: str | None = None
    ack: Which | None = None
    unack: Which | None = None
    snooze: Which | None = None
    escalate: Which | None = None
    receiver: Answer | None = None
    restart: Literal["term", "kill"] | None = None


class Timeline(msgspec.Struct, forbid_unknown_fields=True):
    """Events from `start` on, played for `until` seconds."""

    start: str
    until: float
    events: list[Event] = []

    @property
    def start_ms(self) -> int:
        """The start in epoch milliseconds."""
        return from_rfc3339(self.start)

    def instant(self, moment: Moment) -> int:
        """Epoch milliseconds of a moment of the timeline. Raises ValueError for a text that is no RFC 3339 time."""
        return from_rfc3339(moment) if isinstance(moment, str) else self.start_ms + round(moment * 1000)


class TimelineError(ValueError):
    """The timeline cannot be played; the text says where and why."""


_KINDS = ("post", "silence", "expire", "ack", "unack", "snooze", "escalate", "receiver", "restart")


def read_timeline(text: str, source: str) -> Timeline:
    """A timeline of YAML or JSON, its events in order of time.

    Raises:
        TimelineError: naming the place.
    """
    try:
        timeline = msgspec.convert(read_document(text, MAX_BYTES), Timeline)
        timeline.start_ms  # noqa: B018 - reads it
    except (DocumentError, msgspec.ValidationError, ValueError) as error:
        raise TimelineError(f"{source}: {str(error)[:1].lower()}{str(error)[1:]}") from None
    if timeline.until < 0:
        raise TimelineError(f"{source}: until: expected seconds, 0 or more")
    for number, event in enumerate(timeline.events):
        try:
            _check(event, timeline)
        except ValueError as error:
            raise TimelineError(f"{source}: events[{number}]: {error}") from None
    timeline.events.sort(key=lambda event: event.at)
    return timeline


def texts(values: dict[str, Value]) -> dict[str, str]:
    """Labels or annotations as text, without empty ones."""
    shown = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in values.items()}
    return {name: value for name, value in shown.items() if value}


def _check(event: Event, timeline: Timeline) -> None:
    given = [kind for kind in _KINDS if getattr(event, kind) is not None]
    if len(given) != 1:
        raise ValueError(f"expected exactly one of {', '.join(_KINDS)}, found {', '.join(given) or 'none'}")
    if event.at < 0:
        raise ValueError("at: expected seconds since the start, 0 or more")
    for place, alert in enumerate(event.post or []):
        if not texts(alert.labels):
            raise ValueError(f"post[{place}].labels: expected at least one label with a value")
        ends = None if alert.endsAt is None else timeline.instant(alert.endsAt)
        if ends is not None and alert.startsAt is not None and ends < timeline.instant(alert.startsAt):
            raise ValueError(f"post[{place}].endsAt: expected an end that is not before startsAt")
    if event.silence is not None and not event.silence.matchers:
        raise ValueError("silence.matchers: expected at least one matcher")
    if event.snooze is not None and event.snooze.until is None:
        raise ValueError("snooze.until: expected until when")
