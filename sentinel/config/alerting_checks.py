"""References inside section `alerting`: what is named must be defined, and policies must not run in a circle."""

from __future__ import annotations

from collections.abc import Iterator

from sentinel.config.alerting import Alerting
from sentinel.config.canonical import Path
from sentinel.config.errors import Finding, nearest, shown
from sentinel.config.routes import RouteSettings


def alerting_references(alerting: Alerting) -> Iterator[Finding]:
    """Every name without a definition, at its place."""
    checks = _Checks(alerting)
    routing: Path = ("alerting", "routing")
    yield from checks.receiver(alerting.routing.default_receiver, (*routing, "defaultReceiver"))
    yield from checks.policy(alerting.routing.escalation, (*routing, "escalation"))
    yield from checks.routes(alerting.routing.routes, (*routing, "routes"))
    for number, group in enumerate(alerting.receiver_groups):
        for place, name in enumerate(group.receivers):
            path: Path = ("alerting", "receiverGroups", number, "receivers", place)
            yield from _known(name, [receiver.name for receiver in alerting.receivers], path, "a receiver")
        if any(receiver.name == group.name for receiver in alerting.receivers):
            yield Finding(("alerting", "receiverGroups", number, "name"), shown(group.name), "expected a name that no receiver has")
    for number, rule in enumerate(alerting.suppression.rules):
        for place, name in enumerate(rule.active_time_intervals):
            yield from checks.interval(name, ("alerting", "suppression", "rules", number, "activeTimeIntervals", place))
    yield from checks.definitions()
    yield from checks.policies()


class _Checks:
    def __init__(self, alerting: Alerting) -> None:
        self._alerting = alerting
        self._receivers = [receiver.name for receiver in alerting.receivers] + [group.name for group in alerting.receiver_groups]
        self._intervals = [interval.name for interval in alerting.time_intervals]
        self._policies = {policy.name: policy for policy in alerting.escalation_policies}

    def receiver(self, name: str | None, path: Path) -> Iterator[Finding]:
        return _known(name, self._receivers, path, "a receiver")

    def interval(self, name: str, path: Path) -> Iterator[Finding]:
        return _known(name, self._intervals, path, "a time interval")

    def policy(self, name: str | None, path: Path) -> Iterator[Finding]:
        return _known(name, list(self._policies), path, "an escalation policy")

    def routes(self, routes: list[RouteSettings], path: Path) -> Iterator[Finding]:
        for number, route in enumerate(routes):
            here: Path = (*path, number)
            for place, name in enumerate(route.receivers or ()):
                yield from self.receiver(name, (*here, "receivers", place))
            for key, names in (("muteTimeIntervals", route.mute_time_intervals), ("activeTimeIntervals", route.active_time_intervals)):
                for place, name in enumerate(names):
                    yield from self.interval(name, (*here, key, place))
            yield from self.policy(route.escalation, (*here, "escalation"))
            yield from self.routes(route.routes, (*here, "routes"))

    def definitions(self) -> Iterator[Finding]:
        for number, definition in enumerate(self._alerting.definitions):
            yield from self.policy(definition.escalation, ("alerting", "definitions", number, "escalation"))
            for position, action in enumerate(definition.actions):
                path: Path = ("alerting", "definitions", number, "actions", position, "config")
                for place, name in enumerate((action.config and action.config.receivers) or []):
                    yield from self.receiver(name, (*path, "receivers", place))

    def policies(self) -> Iterator[Finding]:
        for number, policy in enumerate(self._alerting.escalation_policies):
            path: Path = ("alerting", "escalationPolicies", number)
            for position, step in enumerate(policy.steps):
                for place, name in enumerate(step.receivers):
                    yield from self.receiver(name, (*path, "steps", position, "receivers", place))
            yield from self.policy(policy.then, (*path, "then"))
            if circle := self._circle(policy.name):
                yield Finding((*path, "then"), shown(policy.then), f"expected policies that end, found a circle ({' -> '.join(circle)})")

    def _circle(self, name: str) -> list[str] | None:
        walked = [name]
        while (policy := self._policies.get(walked[-1])) is not None and policy.then is not None:
            if policy.then == name:
                return [*walked, name]
            if policy.then in walked:
                return None
            walked.append(policy.then)
        return None


def _known(name: str | None, names: list[str], path: Path, what: str) -> Iterator[Finding]:
    if name is not None and name not in names:
        known = f"one of {', '.join(names[:20])}" if names else "but none is defined"
        yield Finding(path, shown(name), f"expected {what} that is defined ({known})", nearest(name, names))
