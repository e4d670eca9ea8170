"""When a receiver is due: the arithmetic of group_wait, group_interval, repeat_interval and max_frequency (processing time, ms)."""

from __future__ import annotations

from sentinel.alerting.policy import Target
from sentinel.alerting.state import Delivery


def tick(origin: int, interval_ms: int, at: int) -> int:
    """The first tick at or after `at`: ticks lie at `origin` and every interval after it, and arrivals do not move them (Alertmanager)."""
    if at <= origin:
        return origin
    if interval_ms <= 0:
        return at
    return origin + -(-(at - origin) // interval_ms) * interval_ms


def change_due(delivery: Delivery, target: Target, now: int) -> int:
    """When a change may be told, throttling aside: at the first flush, or at the next tick after the last one."""
    if delivery.origin is None:
        delivery.origin = now + target.group_wait_ms
    if delivery.last_flush is None:
        return delivery.origin
    earliest = now if target.group_interval_ms <= 0 else max(now, delivery.last_flush + 1)
    return tick(delivery.origin, target.group_interval_ms, earliest)


def throttled(delivery: Delivery, target: Target, due: int, max_frequency_ms: int) -> int:
    """`due`, moved to a tick at which `max_frequency` has passed since the receiver was last told that something fires."""
    if not max_frequency_ms or delivery.last_firing is None or delivery.origin is None:
        return due
    free = delivery.last_firing + max_frequency_ms
    return due if free <= due else tick(delivery.origin, target.group_interval_ms, free)


def repeat_due(delivery: Delivery, target: Target, flushed_at: int, max_frequency_ms: int, running_since: int) -> int | None:
    """When an unchanged group is told again: at the first tick after the longer of repeat_interval and max_frequency.

    A repeat_interval of 0 means never. Repeats that fell into a time when nothing ran are told once, not each.
    """
    if target.repeat_interval_ms <= 0 or delivery.origin is None:
        return None
    pause = max(target.repeat_interval_ms, max_frequency_ms)
    return tick(delivery.origin, target.group_interval_ms, max(flushed_at + pause, running_since))
