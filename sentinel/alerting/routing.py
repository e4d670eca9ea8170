"""Routing tree: from a label set to the routes that handle it.

The specification's flat list is a tree of one level. Semantics are Alertmanager's: depth first, left to right; after a matching child its
siblings are skipped unless the child says `continue`; a node handles an alert itself only if none of its children matched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from sentinel.alerting.labels import ALL_LABELS, Predicate, canonical, compile_all, matchers_text, present_name
from sentinel.config.runtime import Route, RuntimeConfig


@dataclass(frozen=True, slots=True)
class RouteNode:
    """A node of the tree, ready for use; times in milliseconds.

    Attributes:
        id: its place, `{}/{team="ml"}/0`: unique in the tree.
        key: the matchers on the way to it, which is what the notification log goes by: it outlives a change of order.
        order: its place in the document; the root is 0.
        receivers: who is told, in order; a name may stand for several (`receiver_groups`).
    """

    id: str
    key: str
    order: int
    receivers: tuple[str, ...]
    group_by: tuple[str, ...]
    group_wait_ms: int
    group_interval_ms: int
    repeat_interval_ms: int
    mute_intervals: tuple[str, ...] = ()
    active_intervals: tuple[str, ...] = ()
    escalation: str = ""
    matches: Predicate = lambda labels: True
    children: tuple[RouteNode, ...] = ()
    continue_matching: bool = False

    def resolve(self, labels: Mapping[str, str]) -> list[RouteNode]:
        """The routes that handle a label set, in order. Call it on the root."""
        found: list[RouteNode] = []
        for child in self.children:
            if child.matches(labels):
                found += child.resolve(labels)
                if not child.continue_matching:
                    break
        return found or [self]

    def group_labels(self, labels: Mapping[str, str]) -> dict[str, str]:
        """The labels that name the group; labels that the alert lacks take no part, so that alerts without them share a group."""
        if ALL_LABELS in self.group_by:
            return dict(sorted(labels.items()))
        names = sorted({present_name(labels, name) for name in self.group_by})
        return {name: labels[name] for name in names if name in labels}

    def walk(self) -> Iterator[RouteNode]:
        """This node and all below it, in the order of the document."""
        yield self
        for child in self.children:
            yield from child.walk()


def build_tree(config: RuntimeConfig) -> RouteNode:
    """The tree of a configuration: its routes below a root that tells the default receiver.

    Raises:
        ValueError: when a matcher's expression is not RE2.
    """
    grouping = config.grouping
    root = Route(
        matchers=(),
        receivers=(config.default_receiver,) if config.default_receiver else (),
        group_by=grouping.group_by,
        group_wait_s=grouping.group_wait_s,
        group_interval_s=grouping.group_interval_s,
        repeat_interval_s=grouping.repeat_interval_s,
        children=config.routes,
        escalation=config.default_escalation,
    )
    orders = iter(range(1_000_000))
    return _node(root, None, 0, orders, grouped=grouping.enabled)


def direct_route(root: RouteNode, definition_id: str, receivers: tuple[str, ...], escalation: str = "") -> RouteNode:
    """A route to receivers that a definition names itself, with the timing of the root."""
    name = f'{{alert_definition="{definition_id}"}}'
    return replace(
        root, id=name, key=name, receivers=receivers, children=(), matches=lambda labels: True, escalation=escalation or root.escalation
    )


def group_names(names: tuple[str, ...], config: RuntimeConfig) -> tuple[str, ...]:
    """Canonical, sorted label names to group by; with grouping switched off every label, so that nothing is put together."""
    if not config.grouping.enabled:
        return (ALL_LABELS,)
    return tuple(sorted({canonical(name) for name in names}))


def _node(route: Route, parent: RouteNode | None, place: int, orders: Iterator[int], *, grouped: bool) -> RouteNode:
    text = matchers_text(route.matchers)
    node = RouteNode(
        id=f"{parent.id}/{text}/{place}" if parent else text,
        key=f"{parent.key}/{text}" if parent else text,
        order=next(orders),
        receivers=route.receivers,
        group_by=route.group_by if grouped else (ALL_LABELS,),
        group_wait_ms=round(route.group_wait_s * 1000),
        group_interval_ms=max(1, round(route.group_interval_s * 1000)),
        repeat_interval_ms=round(route.repeat_interval_s * 1000),
        mute_intervals=route.mute_intervals,
        active_intervals=route.active_intervals,
        escalation=route.escalation,
        matches=compile_all(route.matchers),
        continue_matching=route.continue_matching,
    )
    children = tuple(_node(child, node, number, orders, grouped=grouped) for number, child in enumerate(route.children))
    return replace(node, children=children)
