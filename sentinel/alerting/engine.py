"""Alerts in, attempts to tell somebody out: the whole of grouping, muting, dedup, retry and escalation on a clock that the caller owns.

`post`, `silence` and their like say what happens at an instant; `advance(now)` does what is due up to and at an instant. The same groups,
log and mutes run inside the Flink job, where delivery is the dispatcher's; here a courier answers, so that a timeline can be played.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import msgspec

from sentinel.alerting import escalation
from sentinel.alerting.alerts import Alert, merged
from sentinel.alerting.flush import Group, Plan, delivered, group_log_key, new_group, plan
from sentinel.alerting.labels import fingerprint
from sentinel.alerting.log import LogEntry
from sentinel.alerting.muting import Inhibitor, Mutes, Silence, Silences
from sentinel.alerting.receivers import Integration, Receivers
from sentinel.alerting.retry import ALERTMANAGER, OURS, Response, flush_timeout_ms
from sentinel.alerting.routing import RouteNode, build_tree
from sentinel.config.runtime import RuntimeConfig

MAINTENANCE_MS = 15 * 60_000
Key = tuple[str, tuple[tuple[str, str], ...]]
Courier = Callable[[Integration], Response]


class EngineState(msgspec.Struct):
    """Everything that outlives a restart."""

    alerts: dict[str, Alert] = {}
    groups: list[Group] = []
    log: dict[str, LogEntry] = {}
    silences: list[Silence] = []


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to tell one receiver. `alerts` are label sets with whether they fire; `place` orders what happens at one instant."""

    at: int
    receiver: str
    group_labels: dict[str, str]
    alerts: list[tuple[dict[str, str], bool]]
    attempt: int
    delivered: bool
    place: tuple[object, ...]

    @property
    def firing(self) -> bool:
        """Whether the message says that something fires."""
        return any(firing for _, firing in self.alerts)


@dataclass(slots=True)
class _Errand:
    """One integration that is still to be told within a flush."""

    told: Plan
    due: int
    place: int
    number: int = 1
    given_up: bool = False


@dataclass(slots=True)
class _Flight:
    """A flush under way: what it shows was fixed when it began; the group's clock stands until it ends."""

    route: RouteNode
    snapshot: dict[str, Alert]
    deadline: int
    ends: int
    errands: list[_Errand]
    failed: bool = False


@dataclass
class _Parts:
    alerts: dict[str, Alert] = field(default_factory=dict)
    groups: dict[Key, Group] = field(default_factory=dict)
    flights: dict[Key, _Flight] = field(default_factory=dict)
    log: dict[str, LogEntry] = field(default_factory=dict)


class Engine:
    """All alerts of one tenant. Times are epoch milliseconds.

    Args:
        strict: Alertmanager to the letter, in what a mute covers, in retries, and in what a restart forgets.
    """

    def __init__(self, config: RuntimeConfig, courier: Courier, start: int, *, strict: bool = False) -> None:
        self._config, self._courier, self._strict = config, courier, strict
        self._root = build_tree(config)
        self._routes = {route.id: route for route in self._root.walk()}
        self._receivers = Receivers(config)
        self._mutes = Mutes(config)
        self._retry = ALERTMANAGER if strict else OURS
        self._policies = {policy.name: policy for policy in config.escalations}
        self._parts = _Parts()
        self._maintenance = start + MAINTENANCE_MS
        self._snapshot = msgspec.msgpack.encode(EngineState())
        self.attempts: list[Attempt] = []

    # What happens.

    def post(self, alert: Alert, now: int) -> None:
        """Take in the report of an alert, that it fires or that it is over."""
        name, parts = fingerprint(alert.labels), self._parts
        if (known := parts.alerts.get(name)) is not None:
            alert = merged(known, alert, now)
        parts.alerts[name] = alert
        self._mutes.inhibitor.learn(alert)
        for route in self._root.resolve(alert.labels):
            labels = route.group_labels(alert.labels)
            key = (route.id, tuple(sorted(labels.items())))
            group = parts.groups.get(key)
            if group is None:
                group = parts.groups[key] = new_group(route, alert, now)
            group.alerts[name] = alert

    def silence(self, silence: Silence) -> None:
        """Put a silence in force. Raises ValueError as `Silences.set`."""
        self._mutes.silences.set(silence)

    def expire_silence(self, name: str, now: int) -> None:
        """End a silence; ending it twice is no error."""
        self._mutes.silences.expire(name, now)

    def matching(self, labels: dict[str, str], now: int) -> list[Alert]:
        """Alerts that fire and have these labels, in every group that holds them."""
        found = [alert for group in self._parts.groups.values() for alert in group.firing(now)]
        found += [alert for alert in self._parts.alerts.values() if not alert.resolved(now)]
        return [alert for alert in found if labels.items() <= alert.labels.items()]

    def escalate(self, labels: dict[str, str], now: int) -> None:
        """Do the next escalation step of every group that holds such an alert now."""
        for group in self._parts.groups.values():
            policy = self._policies.get(self._routes[group.route_id].escalation)
            if any(labels.items() <= alert.labels.items() for alert in group.firing(now)) and escalation.has_next(group, policy):
                group.escalation_due = now

    def restart(self, now: int, *, graceful: bool) -> None:
        """The process ends and starts again. Ours goes on from its checkpoint; Alertmanager keeps silences and log as last written."""
        if self._strict:
            kept = msgspec.msgpack.decode(self._snapshot, type=EngineState)
            if graceful:
                kept = EngineState(log=self._parts.log, silences=self._mutes.silences.all())
            kept.alerts, kept.groups = {}, []
            self._parts.flights.clear()
            self._maintenance = now + MAINTENANCE_MS
        else:
            kept = msgspec.msgpack.decode(msgspec.msgpack.encode(self.state()), type=EngineState)
        self._restore(kept)
        if self._strict and graceful:
            self._snapshot = msgspec.msgpack.encode(self.state())

    def state(self) -> EngineState:
        """What a restart needs; deliveries under way are the dispatcher's."""
        parts = self._parts
        return EngineState(parts.alerts, list(parts.groups.values()), parts.log, self._mutes.silences.all())

    # What is due.

    def next_due(self) -> int:
        """When `advance` has something to do next."""
        return min(at for at, _ in self._due())

    def advance(self, now: int) -> None:
        """Do what is due up to and at the instant, in order of time, then of routes, then of group labels."""
        while (due := self.next_due()) <= now:
            if self._maintenance <= due:
                self._maintain(self._maintenance)
                continue
            keys = [key for at, key in self._due() if at == due]
            for key in sorted(keys, key=self._place):
                self._turn(key, due)

    def _due(self) -> Iterator[tuple[int, Key]]:
        parts = self._parts
        yield self._maintenance, ("", ())
        for key, group in parts.groups.items():
            flight = parts.flights.get(key)
            if flight is not None:
                yield min((errand.due for errand in flight.errands), default=flight.ends), key
            else:
                yield min(group.due, group.escalation_due or group.due), key

    def _place(self, key: Key) -> tuple[object, ...]:
        return (self._routes[key[0]].order if key[0] else -1, key[1])

    def _turn(self, key: Key, now: int) -> None:
        group, route = self._parts.groups[key], self._routes[key[0]]
        if key not in self._parts.flights:
            if group.escalation_due is not None and group.escalation_due <= now < group.due:
                self._escalate(key, group, route, now)
            else:
                self._flush(key, group, route, now)
        flight = self._parts.flights.get(key)
        if flight is not None:
            self._fly(key, group, flight, now)

    def _flush(self, key: Key, group: Group, route: RouteNode, now: int) -> None:
        group.due = now + route.group_interval_ms
        integrations = self._receivers.of([*route.receivers, *group.reached])
        self._start(key, group, route, integrations, now)

    def _start(
        self, key: Key, group: Group, route: RouteNode, integrations: list[Integration], now: int, *, escalated: bool = False
    ) -> None:
        plans = plan(group, route, integrations, self._mutes, self._parts.log, now, strict=self._strict, escalated=escalated)
        for quiet in (told for told in plans if told.quiet):
            delivered(self._parts.log, quiet, route, now)
        errands = [_Errand(told, now, place) for place, told in enumerate(plans) if told.alerts]
        deadline = now + flush_timeout_ms(route.group_interval_ms)
        self._parts.flights[key] = _Flight(route, dict(group.alerts), deadline, now, errands)

    def _escalate(self, key: Key, group: Group, route: RouteNode, now: int) -> None:
        names = escalation.step(group, self._policies.get(route.escalation), now)
        if names:
            self._start(key, group, route, self._receivers.of(names), now, escalated=True)

    def _fly(self, key: Key, group: Group, flight: _Flight, now: int) -> None:
        for errand in list(flight.errands):
            if errand.due > now:
                continue
            if errand.given_up or (errand.number > 1 and now >= flight.deadline):
                flight.errands.remove(errand)
                flight.failed = True
            else:
                self._attempt(key, group, flight, errand, now)
        flight.ends = max(flight.ends, now)
        if flight.errands:
            return
        del self._parts.flights[key]
        if not flight.failed:
            group.drop_resolved(flight.snapshot, now)
        escalation.follow(group, self._policies.get(flight.route.escalation), now)
        if not group.alerts:
            del self._parts.groups[key]
        group.due = max(group.due, now)

    def _attempt(self, key: Key, group: Group, flight: _Flight, errand: _Errand, now: int) -> None:
        told = errand.told
        response = self._courier(told.integration)
        alerts = [(alert.labels, firing) for _, alert, firing in told.alerts]
        place = (*self._place(key), errand.place, errand.number)
        self.attempts.append(Attempt(now, told.integration.name, group.labels, alerts, errand.number, response == "200", place))
        if response == "200":
            delivered(self._parts.log, told, flight.route, now)
            escalation.told(group, self._policies.get(flight.route.escalation), any(firing for _, firing in alerts), now)
            flight.errands.remove(errand)
            return
        again = self._retry.again(response, errand.number, told.integration.type)
        took = 0
        if response == "timeout":
            took = flight.deadline - now if self._retry.attempt_ms is None else min(self._retry.attempt_ms, flight.deadline - now)
        # A refused message ends the flush at once; a retry that would come too late ends it at its deadline.
        errand.due = min(now + took + (self._retry.pause_ms(errand.number) if again else 0), flight.deadline)
        errand.given_up = not again
        errand.number += 1
        if errand.due <= now:
            flight.errands.remove(errand)
            flight.failed = True

    # What is kept.

    def _maintain(self, now: int) -> None:
        parts = self._parts
        known = {group_log_key(self._routes[group.route_id], group.labels) for group in parts.groups.values()}
        for key, entry in list(parts.log.items()):
            if entry.expires <= now and (self._strict or key.partition("\0")[0] not in known):
                del parts.log[key]
        parts.alerts = {name: alert for name, alert in parts.alerts.items() if not alert.resolved(now)}
        self._mutes.inhibitor.forget_ended(now)
        self._snapshot = msgspec.msgpack.encode(EngineState(log=parts.log, silences=self._mutes.silences.all()))
        self._maintenance = now + MAINTENANCE_MS

    def _restore(self, kept: EngineState) -> None:
        self._mutes = Mutes(self._config, Silences(kept.silences), Inhibitor(self._config.inhibit_rules))
        for alert in kept.alerts.values():
            self._mutes.inhibitor.learn(alert)
        self._parts.alerts, self._parts.log = kept.alerts, kept.log
        self._parts.groups = {(group.route_id, tuple(sorted(group.labels.items()))): group for group in kept.groups}
