"""The notification log: what each receiver was told about a group, and whether there is anything new to say."""

from __future__ import annotations

from typing import Literal

import msgspec

RETENTION_MS = 120 * 3_600_000

Reason = Literal[
    "first", "new alerts", "resolved", "some resolved", "repeat", "mute ended", "escalated", "nothing new", "never told", "acknowledged"
]
"""Why a receiver is told (up to `escalated`) or not."""

SEND: frozenset[Reason] = frozenset({"first", "new alerts", "resolved", "some resolved", "repeat", "mute ended", "escalated"})


class LogEntry(msgspec.Struct, array_like=True):
    """The last message to a receiver about a group; alerts by fingerprint.

    Attributes:
        at: when it was delivered.
        firing: what the receiver believes to fire.
        resolved: what it was told to be over.
        held: of `firing`, what a silence or another mute has covered since: worth a message when the mute ends.
    """

    at: int
    firing: list[str]
    resolved: list[str]
    expires: int
    held: list[str] = []


class View(msgspec.Struct):
    """What a receiver may hear at one flush: fingerprints that fire, that are over, and that are covered by a mute."""

    firing: set[str]
    resolved: set[str]
    covered: set[str]
    acknowledged: bool = False


def expiry(now: int, repeat_interval_ms: int) -> int:
    """Until when an entry is kept: twice the repeat interval, at most 120 hours."""
    return now + min(RETENTION_MS, 2 * repeat_interval_ms)


def decide(entry: LogEntry | None, view: View, *, send_resolved: bool, repeat_ms: int, now: int, strict: bool) -> Reason:
    """Whether to tell a receiver, in Alertmanager's order of questions.

    `strict` is Alertmanager to the letter. Otherwise a mute that ended is news, an acknowledged group is not repeated, and a message that
    only says "over" is sent only when the receiver knew of one of those alerts.
    """
    if entry is None:
        return "first" if view.firing else "never told"
    known = set(entry.firing)
    if view.firing - known:
        return "new alerts" if known else "first"
    if not strict and view.firing & set(entry.held):
        return "mute ended"
    if not view.firing:
        tell = bool(known) if strict else bool(known & view.resolved)
        return "resolved" if tell else "nothing new"
    if send_resolved and view.resolved - set(entry.resolved):
        return "some resolved"
    if now - entry.at < repeat_ms:
        return "nothing new"
    return "acknowledged" if view.acknowledged and not strict else "repeat"


def written(entry: LogEntry | None, view: View, now: int, repeat_ms: int) -> LogEntry:
    """The entry after a delivery: what fires under a cover stays known, so that its end will be told."""
    held = sorted((set(entry.firing) if entry else set()) & view.covered)
    return LogEntry(now, sorted(view.firing | set(held)), sorted(view.resolved), expiry(now, repeat_ms), held)


def noted(entry: LogEntry, view: View) -> None:
    """Without a delivery: remember what is covered now, so that its return is told."""
    held = (set(entry.held) | view.covered) & set(entry.firing)
    if len(held) > len(entry.held):
        entry.held = sorted(held)
