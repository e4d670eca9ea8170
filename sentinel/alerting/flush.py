"""One group on one route: its alerts, its clock, and what each receiver is to hear when it is due (Alertmanager's aggregation group)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from sentinel.alerting.alerts import Alert, in_order
from sentinel.alerting.log import SEND, LogEntry, Reason, View, decide, noted, written
from sentinel.alerting.muting import Mutes
from sentinel.alerting.receivers import Integration
from sentinel.alerting.routing import RouteNode


class Group(msgspec.Struct, array_like=True):
    """Alerts that are told together.

    Attributes:
        due: the next flush: first after group_wait, then every group_interval, however many alerts arrive.
        reached: receivers that escalation added.
        step: escalation steps done, over all rounds; `escalation_due` is when the next is.
    """

    route_id: str
    labels: dict[str, str]
    due: int
    alerts: dict[str, Alert]
    reached: list[str] = []
    step: int = 0
    escalation_due: int | None = None

    @property
    def order(self) -> list[tuple[str, str]]:
        """Sort key among groups of one route."""
        return sorted(self.labels.items())

    def firing(self, now: int) -> list[Alert]:
        """Alerts that fire."""
        return [alert for alert in self.alerts.values() if not alert.resolved(now)]

    def drop_resolved(self, told: dict[str, Alert], now: int) -> None:
        """After everybody was told: let go of what was over then and has not been reported anew since."""
        for name, alert in told.items():
            current = self.alerts.get(name)
            if (
                current is not None
                and current.resolved(now)
                and current.updated_at == alert.updated_at
                and current.ends_at == alert.ends_at
            ):
                del self.alerts[name]


def new_group(route: RouteNode, alert: Alert, now: int) -> Group:
    """A group begins with an alert: it waits for others, unless that alert has waited long enough already."""
    late = alert.starts_at + route.group_wait_ms < now
    return Group(route.id, route.group_labels(alert.labels), now if late else now + route.group_wait_ms, {})


def log_key(route: RouteNode, labels: dict[str, str], integration: Integration) -> str:
    """What the notification log goes by."""
    return f"{group_log_key(route, labels)}\0{integration.name}\0{integration.index}"


def group_log_key(route: RouteNode, labels: dict[str, str]) -> str:
    """What the log keys of all integrations of a group begin with."""
    return f"{route.key}:{sorted(labels.items())}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What one integration is to hear at one flush.

    Attributes:
        alerts: what the message shows, in order, with whether it fires; empty when nothing is sent.
        quiet: the log is written although nothing is sent: the receiver wants no news of the end, and everything is over.
        mutes: fingerprint → why it is not told.
    """

    integration: Integration
    key: str
    reason: Reason
    view: View
    alerts: list[tuple[str, Alert, bool]]
    mutes: dict[str, str]
    quiet: bool = False


def plan(
    group: Group,
    route: RouteNode,
    integrations: list[Integration],
    mutes: Mutes,
    log: dict[str, LogEntry],
    now: int,
    *,
    strict: bool = False,
    escalated: bool = False,
    cover: str | None = None,
    key_of: Callable[[Integration], str] | None = None,
) -> list[Plan]:
    """Decide for every integration what this flush tells it. Notes in the log what is covered by a mute; deliveries are noted later.

    Args:
        escalated: it is an escalation step, which tells what fires even to those who know.
        cover: a reason why nobody is told of anything now, found by the caller.
        key_of: what the log goes by, if not by route and group labels.
    """
    of_route = cover or mutes.of_route(route, now)
    covers = {name: of_route or mutes.of_alert(alert, now) for name, alert in group.alerts.items()}
    mute_reasons = {name: reason for name, reason in covers.items() if reason is not None}
    plans = []
    for integration in integrations:
        key = key_of(integration) if key_of else log_key(route, group.labels, integration)
        entry = log.get(key)
        view = _view(group, mute_reasons, entry, now, strict=strict)
        reason = decide(entry, view, send_resolved=integration.send_resolved, repeat_ms=route.repeat_interval_ms, now=now, strict=strict)
        if strict and not view.firing and not view.resolved:
            reason = "nothing new"
        if escalated:
            reason = "escalated" if view.firing else "nothing new"
        if reason not in SEND and entry is not None and not strict:
            noted(entry, view)
        plans.append(_plan(group, integration, key, reason, view, mute_reasons))
    return plans


def _view(group: Group, mutes: dict[str, str], entry: LogEntry | None, now: int, *, strict: bool) -> View:
    """News of trouble is held back by a mute; the news that it is over is not, for whoever was told of the trouble."""
    firing = {name for name, alert in group.alerts.items() if not alert.resolved(now)}
    over = set(group.alerts) - firing
    told = set(entry.firing) if entry is not None and not strict else set[str]()
    visible = firing - mutes.keys()
    acknowledged = bool(visible) and all(group.alerts[name].acknowledged for name in visible)
    # Alertmanager forgets at its next message who was told of what a mute covers by then, and tells of it again afterwards.
    covered = set[str]() if strict else firing & mutes.keys()
    return View(visible, {name for name in over if name not in mutes or name in told}, covered, acknowledged)


def _plan(group: Group, integration: Integration, key: str, reason: Reason, view: View, mutes: dict[str, str]) -> Plan:
    shown = view.firing | view.resolved if integration.send_resolved else view.firing
    if reason not in SEND or not shown:
        return Plan(integration, key, reason, view, [], mutes, quiet=reason in SEND)
    alerts = sorted(((name, group.alerts[name], name in view.firing) for name in shown), key=lambda item: in_order(item[1].labels))
    return Plan(integration, key, reason, view, alerts, mutes)


def delivered(log: dict[str, LogEntry], told: Plan, route: RouteNode, now: int) -> None:
    """Note that the integration was told (or, when quiet, that there was nothing to tell it)."""
    log[told.key] = written(log.get(told.key), told.view, now, route.repeat_interval_ms)
