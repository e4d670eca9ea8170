"""Which groups the label sets of an alert join, and which group tells a receiver that several of them name.

The log of what was told goes by receiver, so one group alone may speak to a receiver at a time.
"""

from __future__ import annotations

from dataclasses import replace

from sentinel.alerting.matching import AlertKey
from sentinel.alerting.policy import CompiledDefinition, Policy
from sentinel.alerting.receivers import Integration
from sentinel.alerting.routing import RouteNode
from sentinel.alerting.state import Clock, Member
from sentinel.config.runtime import Escalation


class Ways:
    """From one alert key to its receivers, under one configuration. `clocks` are always all groups of the alert, in their order."""

    def __init__(self, key: AlertKey, policy: Policy, definition: CompiledDefinition, *, known: bool) -> None:
        self._key, self._policy, self._definition, self._known = key, policy, definition, known
        self._beside = frozenset(route.id for route in definition.beside)

    def routes(self, member: Member) -> list[RouteNode]:
        """The member's routes that group as this key does. A definition that is gone or not yet known tells nobody."""
        if not self._known:
            return []
        routes = self._policy.routes(self._definition, member.labels)
        if self._definition.group_by is not None:
            return routes
        wanted = (self._key.group_names, ("...",))
        return [route for route in routes if self._policy.group_by(route) in wanted]

    def route(self, name: str) -> RouteNode:
        """The route of a group. One that is no longer configured lives on to tell the end: its id begins with NUL."""
        for own in (self._definition.direct, *self._definition.beside):
            if own is not None and own.id == name:
                return own
        found = self._policy.by_id.get(name)
        return found if found is not None and self._known else replace(self._policy.root, id="\0" + name.lstrip("\0"), receivers=())

    def owned(self, clock: Clock, route: RouteNode, clocks: list[Clock], told: list[str]) -> list[Integration]:
        """The group's receivers. One that several groups name belongs to the first; one that none names any more, to where it was told.

        Args:
            told: every receiver that was told anything about the alert.
        """
        others: set[str] = set()
        for other in clocks:
            if other is clock:
                break
            others |= {found.receiver for found in self._policy.receivers.of([*self.route(other.route_id).receivers, *other.reached])}
        found = self._policy.receivers.of([*route.receivers, *clock.reached])
        if route.id.startswith("\0"):
            named = {i.receiver for other in clocks for i in self._policy.receivers.of(self.route(other.route_id).receivers)}
            found += self._policy.receivers.of([name for name in told if name not in named])
        return [integration for integration in found if integration.receiver not in others]

    def escalation(self, route: RouteNode, clocks: list[Clock]) -> Escalation | None:
        """The policy of a route's group. Where several groups of the alert have the same one, the first goes by it, so that nobody is told twice."""
        name = self._policy_name(route)
        leading = next((clock.route_id for clock in clocks if self._policy_name(self.route(clock.route_id)) == name), route.id)
        return self._policy.escalations.get(name) if leading == route.id else None

    def _policy_name(self, route: RouteNode) -> str:
        return "" if route.id in self._beside else self._definition.source.escalation or route.escalation
