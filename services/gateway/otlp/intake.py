"""One OTLP export: items to events, events to the gateway, refusals back to the items that they came from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar

import orjson

from services.gateway.gateway import Gateway
from services.gateway.otlp.alias_table import AliasTable, alias_table
from services.gateway.tenants import Principal

Item = TypeVar("Item")
_LISTED = 5


class Partial(NamedTuple):
    """What `partial_success` says: how many items were refused, and why."""

    rejected: int
    message: str


class OtlpIntake:
    """Shared by both OTLP doors."""

    def __init__(self, gateway: Gateway, table: AliasTable | None = None) -> None:
        self.gateway = gateway
        self._table = table or alias_table()

    async def take(self, items: Iterable[Item], events_of: Callable[[Item, AliasTable], list[dict[str, Any]]], who: Principal) -> Partial:
        """Returns when every good event is durable. Raises GatewayError when nothing is promised."""
        values: list[bytes] = []
        origins: list[int] = []
        ignored = 0
        for number, item in enumerate(items):
            events = events_of(item, self._table)
            ignored += not events
            for event in events:
                values.append(orjson.dumps(event, option=orjson.OPT_NON_STR_KEYS))
                origins.append(number)
        self.gateway.metrics.ignored("otlp", ignored)
        if not values:
            return Partial(0, "")
        _, rejections = await self.gateway.submit("otlp", values, who)
        if not rejections:
            return Partial(0, "")
        refused = {origins[rejection.index] for rejection in rejections}
        listed = "; ".join(
            f"item {origins[one.index]}: {one.field}: expected {one.expected}, got {one.found}" for one in rejections[:_LISTED]
        )
        return Partial(len(refused), listed + ("; …" if len(rejections) > _LISTED else ""))
