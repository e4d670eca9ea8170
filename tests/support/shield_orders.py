"""What detectors with an enforce action ask of Shield, read from its topic as Shield's sender reads it: committed records, each order by its id."""

from __future__ import annotations

from typing import Any, NamedTuple

import yaml

from sentinel.config.load import DEFAULT_FILE
from tests.support.stack import Stack
from tests.support.streams import Stored

TOPIC = "sentinel-shield-actions"
WATCHED = r"7\d?3"
"""Some of the generator's prompts name such a number: a user here and there, from the beginning of a run to its end."""
_ENFORCED = {
    "prompt-injection-patterns": {"shield": "block", "config": {"target": "user"}},
    "error-rate-zscore": {"shield": "throttle", "config": {"target": "application"}},
    "latency-zscore": {"shield": "alert_only"},
}
ENFORCING = frozenset({*_ENFORCED, "watched-number"})
"""Detectors of `enforcing_detectors` whose anomalies are orders."""


class Order(NamedTuple):
    """One record of the topic that an anomaly made."""

    anomaly_id: str
    tenant_id: str
    application_id: str
    detector_id: str
    actions: tuple[tuple[str, str, str], ...]
    """Id, kind and target of each."""


def enforcing_detectors() -> list[dict[str, Any]]:
    """The built-in detectors, some with an enforce action, and one that orders something about many users."""
    items: list[dict[str, Any]] = yaml.safe_load(DEFAULT_FILE.read_text())["detection"]["detectors"]["items"]
    for item in items:
        if item["id"] in _ENFORCED:
            item["actions"].append(_ENFORCED[item["id"]])
    patterns = [{"id": "number", "pattern": WATCHED}]
    watched = {"id": "watched-number", "type": "rule", "strategy": "pattern", "config": {"fields": ["prompt"], "patterns": patterns}}
    return [*items, watched | {"actions": [{"shield": "rate_limit", "config": {"target": "user"}, "severity": "info"}]}]


def orders(stack: Stack, tenants: str) -> list[Order]:
    """Orders about tenants that begin so, as they lie in their partitions, repetitions among them."""
    found = [(stored, stored.json()) for stored in stack.topic(TOPIC)]
    return [_order(stored, record) for stored, record in found if record["tenant_id"].startswith(tenants) and "actions_taken" in record]


def _order(stored: Stored, record: dict[str, Any]) -> Order:
    # Of one tenant all lie in one partition: that is what their order rests on.
    assert stored.key == record["tenant_id"].encode(), f"an order under the key {stored.key!r}: {record}"
    assert not record["update"], f"an update is no order: {record}"
    actions = tuple((action["action_id"], action["action"], action["target"]) for action in record["actions_taken"])
    return Order(record["anomaly_id"], record["tenant_id"], record["application_id"], record["detector_id"], actions)


def once_in_order(found: list[Order]) -> dict[tuple[str, str, str], list[Order]]:
    """Tenant, application, detector → its orders as whoever knows ids takes them.

    A job that was restored from a checkpoint repeats what it had ordered since, with the same ids and in the same order; raises AssertionError for
    a repetition that asks for something else, or leaves one out.
    """
    taken: dict[tuple[str, str, str], list[Order]] = {}
    last: dict[tuple[str, str, str], int] = {}
    for order in found:
        place = (order.tenant_id, order.application_id, order.detector_id)
        known = taken.setdefault(place, [])
        names = [one.anomaly_id for one in known]
        if order.anomaly_id not in names:
            names.append(order.anomaly_id)
            known.append(order)
        number = names.index(order.anomaly_id)
        assert known[number] == order, f"ordered again, and otherwise: {known[number]}, {order}"
        assert number <= last.get(place, -1) + 1, f"the repetition leaves out an order before {order}"
        last[place] = number
    return taken
