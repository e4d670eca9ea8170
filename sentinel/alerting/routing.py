"""Routing tree: from a label set to receivers with their timing.

The specification's flat list is a tree of one level. Semantics are Alertmanager's (dispatch/route.go): depth first, left to right; after
a matching child its siblings are skipped unless the child says `continue`; a node delivers itself only if none of its children matched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sentinel.alerting.labels import Predicate, canonical, compile_matcher
from sentinel.config.runtime import RuntimeConfig


@dataclass(frozen=True, slots=True)
class Target:
    """One receiver on one route, with the timing of the route in milliseconds."""

    receiver: str
    group_by: tuple[str, ...]
    group_wait_ms: int
    group_interval_ms: int
    repeat_interval_ms: int


@dataclass(frozen=True, slots=True)
class RouteNode:
    """A node of the tree. `targets` are its own receivers; they count when no child matches."""

    targets: tuple[Target, ...]
    matchers: tuple[Predicate, ...] = ()
    children: tuple[RouteNode, ...] = ()
    continue_matching: bool = False

    def resolve(self, labels: Mapping[str, str]) -> list[Target]:
        """The targets for a label set; a receiver that several routes name counts once, by its first route and `group_by`."""
        found: dict[tuple[str, tuple[str, ...]], Target] = {}
        for target in self._walk(labels):
            found.setdefault((target.receiver, target.group_by), target)
        return list(found.values())

    def _walk(self, labels: Mapping[str, str]) -> Iterator[Target]:
        matched = False
        for child in self.children:
            if all(holds(labels) for holds in child.matchers):
                matched = True
                yield from child._walk(labels)
                if not child.continue_matching:
                    break
        if not matched:
            yield from self.targets


def default_target(config: RuntimeConfig, receiver: str) -> Target:
    """A receiver with the timing of `alerting.grouping`, as the default receiver and receivers named by a definition have it."""
    grouping = config.grouping
    return Target(
        receiver, group_names(grouping.group_by, config), *_ms(grouping.group_wait_s, grouping.group_interval_s, grouping.repeat_interval_s)
    )


def group_names(names: tuple[str, ...], config: RuntimeConfig) -> tuple[str, ...]:
    """Canonical, sorted label names to group by; with grouping switched off every label, so that nothing is put together."""
    if not config.grouping.enabled:
        return ("...",)
    return tuple(sorted({canonical(name) for name in names}))


def build_tree(config: RuntimeConfig) -> RouteNode:
    """The tree of a configuration: its routes below a root that delivers to the default receiver.

    Raises:
        ValueError: when a matcher's expression is not RE2.
    """
    children = tuple(
        RouteNode(
            targets=tuple(
                Target(
                    receiver,
                    group_names(route.group_by, config),
                    *_ms(route.group_wait_s, route.group_interval_s, route.repeat_interval_s),
                )
                for receiver in route.receivers
            ),
            matchers=tuple(compile_matcher(matcher) for matcher in route.matchers),
            continue_matching=route.continue_matching,
        )
        for route in config.routes
    )
    return RouteNode(targets=(default_target(config, config.default_receiver),) if config.default_receiver else (), children=children)


def _ms(*seconds: float) -> tuple[int, ...]:
    return tuple(round(value * 1000) for value in seconds)
