"""Who is told about one alert key, and when: the groups of its routes, with throttling, schedule, escalation and a record of every decision.

The groups, the notification log and the mutes are those of `sentinel alerts simulate`; what the log goes by is the receiver, since all of
this is about one alert.
"""

from __future__ import annotations

from collections.abc import Iterator

from sentinel.alerting import escalation
from sentinel.alerting.flush import Group, Plan, delivered, plan
from sentinel.alerting.log import SEND
from sentinel.alerting.matching import AlertKey
from sentinel.alerting.muting import Mutes
from sentinel.alerting.notification import decision_record, notification_record
from sentinel.alerting.policy import CompiledDefinition, Policy
from sentinel.alerting.receivers import Integration
from sentinel.alerting.records import Outcome, Output
from sentinel.alerting.routing import RouteNode
from sentinel.alerting.state import Clock, GroupState, Told, rank
from sentinel.alerting.ways import Ways
from sentinel.config.runtime import Escalation
from sentinel.timestamps import to_rfc3339

OUTSIDE = "outside the definition's schedule"
GONE = "the route or definition is no longer configured"
LONGEST_SLEEP_MS = 86_400_000


class Telling:
    """The part of an alert that talks to receivers. `state` is shared with the life cycle; times are epoch milliseconds."""

    def __init__(
        self, key: AlertKey, state: GroupState, policy: Policy, definition: CompiledDefinition | None, mutes: Mutes, running_since: int
    ) -> None:
        self._key, self._policy, self._mutes, self._running_since = key, policy, mutes, running_since
        self._known = definition is not None
        self._definition = definition or policy.unknown_definition(key.definition_id)
        self._ways = Ways(key, policy, self._definition, known=self._known)
        self.state = state
        self._held_back = self._calm = False

    def next_due(self) -> int | None:
        """When a group is due next."""
        due: int | None = None
        for clock in self.state.clocks:
            at = clock.due if clock.escalation_due is None else min(clock.due, clock.escalation_due)
            if due is None or at < due:
                due = at
        return due

    def wake(self, earliest: int) -> None:
        """Something changed: every group looks again at its first tick from then on."""
        for clock in self.state.clocks:
            clock.wake(earliest)

    def skip_missed(self) -> None:
        """Of the ticks in a time when nothing ran, the last one counts."""
        for clock in self.state.clocks:
            route = self._ways.route(clock.route_id)
            missed = (self._running_since - clock.due) // route.group_interval_ms
            clock.due += max(0, missed) * route.group_interval_ms

    def leave_old_routes(self) -> None:
        """After a change of the configuration: label sets leave groups of routes that no longer lead there, which only tell the end."""
        for clock in list(self.state.clocks):
            left = [
                name for name in clock.names if not any(route.id == clock.route_id for route in self._ways.routes(self.state.members[name]))
            ]
            if left and not clock.route_id.startswith("\0"):
                self.state.clocks.append(Clock("\0" + clock.route_id, clock.due, left, clock.reached))
                clock.names = [name for name in clock.names if name not in left]
                if not clock.names:
                    self.state.clocks.remove(clock)

    def join(self, name: str, now: int) -> Iterator[Output]:
        """A label set begins to fire: it joins the group of each route on its way, which begins to wait if it is new."""
        state = self.state
        self.wake(now + 1)
        for route in self._ways.routes(state.members[name]):
            if not route.receivers:
                continue
            clock = next((known for known in state.clocks if known.route_id == route.id), None)
            if clock is None:
                clock = Clock(route.id, now + route.group_wait_ms, [])
                # Groups of routes that are gone come last: a receiver belongs to the first that names it.
                state.clocks = sorted([*state.clocks, clock], key=lambda known: known.route_id.startswith("\0"))
            if name not in clock.names:
                clock.names.append(name)
                clock.names.sort()
            for integration in self._owned(clock, route):
                if integration.receiver not in state.receivers:
                    state.receivers.append(integration.receiver)
                if state.alert_id and clock.due > now:
                    yield from self._decided(integration, "grouped", "waits for others of its group", now, 1, 0, until=clock.due)

    def first_due(self, name: str) -> int | None:
        """When the receivers of a label set are told next."""
        return min((clock.due for clock in self.state.clocks if name in clock.names), default=None)

    def turn(self, due: int) -> Iterator[Output]:
        """Flush the groups and do the escalation steps that are due at this instant."""
        clocks = list(self.state.clocks)
        for place, clock in enumerate(clocks):
            route = self._ways.route(clock.route_id)
            group = self._awake(clock)
            if clock.due <= due:
                group.due = due + route.group_interval_ms
                yield from self._tell(group, route, self._owned(clock, route), due)
                members = self.state.members
                if not self._held_back:
                    group.drop_resolved(dict(group.alerts), due)
                escalation.follow(group, self._escalation(route), due)
                if self._rest(clock, group):
                    self._sleep(clock, route, due)
                else:
                    # A receiver that it named belongs to the next group that names it.
                    _wake_others(clocks, place, due)
                self.state.members = {n: m for n, m in members.items() if m.firing or any(n in c.names for c in self.state.clocks)}
            if group.escalation_due is not None and group.escalation_due <= due:
                names = escalation.step(group, self._escalation(route), due)
                integrations = self._policy.receivers.of(names)
                yield from self._tell(group, route, integrations, due, escalated=True)
                self._rest(clock, group)
                _wake_others(clocks, place, due)

    def escalate(self, now: int) -> bool:
        """Do the next escalation step at once; whether there is one."""
        found = False
        for clock in self.state.clocks:
            group = self._awake(clock)
            if group.firing(now) and escalation.has_next(group, self._escalation(self._ways.route(clock.route_id))):
                clock.escalation_due, found = now, True
        return found

    def _sleep(self, clock: Clock, route: RouteNode, now: int) -> None:
        """After a flush: pass over the ticks at which nothing can be said unless something changes, up to the next repeat."""
        members = [self.state.members[name] for name in clock.names]
        if not self._calm or any(not member.firing or self._mutes.may_change(route, member, now) for member in members):
            return
        entries = [self.state.log.get(found.receiver) for found in self._owned(clock, route)]
        if any(entry is not None and entry.held for entry in entries):
            return
        # What should have been repeated by now and was not is acknowledged.
        repeats = [entry.at + route.repeat_interval_ms for entry in entries if entry is not None]
        until = min((at for at in repeats if at > now), default=now + LONGEST_SLEEP_MS)
        passed = -(-(min(until, now + LONGEST_SLEEP_MS) - clock.due) // route.group_interval_ms)
        if passed > 0:
            clock.due += passed * route.group_interval_ms
            clock.asleep = route.group_interval_ms

    def _tell(
        self, group: Group, route: RouteNode, integrations: list[Integration], now: int, *, escalated: bool = False
    ) -> Iterator[Output]:
        cover = None if self._known and not route.id.startswith("\0") else GONE
        if cover is None and self._definition.active_hours is not None and not self._definition.active_hours.is_active(now):
            cover = OUTSIDE
        log, self._held_back = self.state.log, False
        self._calm = cover is None and self._definition.active_hours is None
        for told in plan(
            group, route, integrations, self._mutes, log, now, escalated=escalated, cover=cover, key_of=lambda found: found.receiver
        ):
            self._calm = self._calm and not told.mutes
            firing = [name for name, _, fires in told.alerts if fires]
            held = self._throttled(told, firing, now) if told.reason != "escalated" else None
            if held is not None:
                # What is over must stay until it was told together with what fires.
                self._held_back, self._calm = True, False
                yield from self._decided(told.integration, "throttled", held[0], now, len(firing), 0, until=held[1])
            elif told.alerts:
                yield from self._send(group, route, told, firing, now)
            else:
                if told.quiet:
                    delivered(log, told, route, now)
                yield from self._silent(told, now)

    def _send(self, group: Group, route: RouteNode, told: Plan, firing: list[str], now: int) -> Iterator[Output]:
        receiver, state = told.integration.receiver, self.state
        sent = state.told.setdefault(receiver, Told())
        sent.sequence += 1
        if firing:
            window = max(self._definition.cap_window_ms, self._definition.max_frequency_ms)
            keep = max(self._definition.cap, 1)
            sent.fired = [*[at for at in sent.fired if at > now - window], now][-keep:]
            sent.severity = max(rank(state.members[name].labels.get("severity", "")) for name in firing)
        delivered(state.log, told, route, now)
        escalation.told(group, self._escalation(route), bool(firing), now)
        members = [(name, state.members[name]) for name, _, _ in told.alerts]
        note = notification_record(self._key, state, self._policy, self._definition, told.integration, members, now)
        yield note
        sent.outcome = ""
        yield from self._decided(
            told.integration, "sent", told.reason, now, len(firing), len(told.alerts) - len(firing), notification=note.notification_id
        )
        sent.outcome = "sent"

    def _throttled(self, told: Plan, firing: list[str], now: int) -> tuple[str, int] | None:
        """Why and until when a message about trouble is held back; a higher severity than the receiver knows is never."""
        sent = self.state.told.get(told.integration.receiver)
        if not firing or sent is None or not sent.fired:
            return None
        if max(rank(self.state.members[name].labels.get("severity", "")) for name in firing) > sent.severity:
            return None
        definition = self._definition
        free = sent.fired[-1] + definition.max_frequency_ms
        if now < free:
            return "max_frequency", free
        if definition.cap and len(sent.fired) >= definition.cap and now < sent.fired[0] + definition.cap_window_ms:
            return f"at most {definition.cap} messages in {definition.cap_window_ms // 1000} s", sent.fired[0] + definition.cap_window_ms
        return None

    def _silent(self, told: Plan, now: int) -> Iterator[Output]:
        view = told.view
        if told.quiet:
            yield from self._decided(told.integration, "quiet", "the receiver wants no news of the end", now, 0, len(view.resolved))
        elif view.covered and told.reason not in SEND:
            reason, hours = next(told.mutes[name] for name in sorted(view.covered)), self._definition.active_hours
            opens = hours.next_active(now) if hours is not None and reason == OUTSIDE else None
            yield from self._decided(told.integration, "suppressed", reason, now, len(view.covered), 0, until=opens)
        elif told.reason == "acknowledged":
            yield from self._decided(told.integration, "acknowledged", "not repeated", now, len(view.firing), 0)

    def _decided(
        self,
        integration: Integration,
        outcome: Outcome,
        detail: str,
        now: int,
        firing: int,
        resolved: int,
        until: int | None = None,
        notification: str | None = None,
    ) -> Iterator[Output]:
        """A decision for the record, unless it is the one that was recorded last."""
        state = self.state
        sent = state.told.setdefault(integration.receiver, Told())
        mark = f"{outcome}: {detail}"
        if sent.outcome == mark:
            return
        sent.outcome = mark
        state.decisions += 1
        yield decision_record(
            self._key,
            state,
            integration.receiver,
            outcome,
            detail,
            now,
            firing,
            resolved,
            until=None if until is None else to_rfc3339(until),
            notification=notification,
        )

    def _owned(self, clock: Clock, route: RouteNode) -> list[Integration]:
        return self._ways.owned(clock, route, self.state.clocks, list(self.state.log))

    def _escalation(self, route: RouteNode) -> Escalation | None:
        return self._ways.escalation(route, self.state.clocks)

    def _awake(self, clock: Clock) -> Group:
        alerts = {name: self.state.members[name] for name in clock.names if name in self.state.members}
        return Group(clock.route_id, {}, clock.due, dict(alerts), clock.reached, clock.step, clock.escalation_due)

    def _rest(self, clock: Clock, group: Group) -> bool:
        """Keep what is left of the group; whether anything is."""
        clock.due, clock.names, clock.reached = group.due, sorted(group.alerts), group.reached
        clock.step, clock.escalation_due = group.step, group.escalation_due
        if not clock.names:
            self.state.clocks.remove(clock)
        return bool(clock.names)


def _wake_others(clocks: list[Clock], place: int, now: int) -> None:
    """What the group at `place` did concerns the others: those after it may still have their tick at this instant."""
    for number, clock in enumerate(clocks):
        clock.wake(now if number > place else now + 1)
