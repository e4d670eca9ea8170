"""One alert: a label set that fires from a start to an end. Times are epoch milliseconds."""

from __future__ import annotations

from functools import lru_cache

import msgspec


class Alert(msgspec.Struct, array_like=True):
    """A label set and when it fires.

    Attributes:
        ends_at: when it is over; in the future while it fires.
        timeout: `ends_at` was not given but is the resolve timeout, so a later report moves it.
        updated_at: when it was last reported; of two reports the younger one's annotations count.
        acknowledged: somebody takes care of it: no repeats, no escalation.
        snoozed_until: nobody is told before.
    """

    labels: dict[str, str]
    annotations: dict[str, str]
    starts_at: int
    ends_at: int
    updated_at: int
    timeout: bool = False
    acknowledged: bool = False
    snoozed_until: int = 0

    def resolved(self, now: int) -> bool:
        """Whether it is over."""
        return self.ends_at <= now


def reported(
    labels: dict[str, str], annotations: dict[str, str], starts_at: int | None, ends_at: int | None, now: int, resolve_timeout_ms: int
) -> Alert:
    """An alert as somebody reports it: without a start it starts now (or where it ends), without an end it ends after the timeout."""
    start = starts_at if starts_at is not None else (now if ends_at is None else ends_at)
    return Alert(labels, annotations, start, now + resolve_timeout_ms if ends_at is None else ends_at, now, timeout=ends_at is None)


def merged(old: Alert, new: Alert, now: int) -> Alert:
    """What is known after a second report (Alertmanager's rules).

    Only reports whose times overlap are one firing: then the earliest start is kept, the younger report's annotations, and the latest end
    that was given explicitly. Otherwise the new report stands alone. What people did to the alert stays while it goes on.
    """
    overlap = old.starts_at < new.ends_at < old.ends_at or old.starts_at < new.starts_at < old.ends_at
    starts_at, ends_at = new.starts_at, new.ends_at
    if overlap:
        starts_at = min(starts_at, old.starts_at)
        if old.ends_at > ends_at and (old.resolved(now) if new.resolved(now) else not old.timeout):
            ends_at = old.ends_at
    goes_on = not old.resolved(now)
    return Alert(
        new.labels,
        new.annotations,
        starts_at,
        ends_at,
        new.updated_at,
        new.timeout,
        acknowledged=goes_on and old.acknowledged,
        snoozed_until=old.snoozed_until if goes_on else 0,
    )


def in_order(labels: dict[str, str]) -> tuple[object, ...]:
    """Sort key of alerts inside a notification, Alertmanager's: by job, by instance (those that have none last), fewer labels first, then label
    by label in the order of their names; who lacks the first name that not both have comes first."""
    first = ("job" not in labels, labels.get("job", ""), "instance" not in labels, labels.get("instance", ""))
    return (first, len(labels), [(_later_first(name), value) for name, value in sorted(labels.items())])


@lru_cache(4_096)
def _later_first(name: str) -> tuple[int, ...]:
    return (*(-ord(character) for character in name), 1)
