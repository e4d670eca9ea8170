"""Carries out one record for Shield: enforces its actions, or revokes those of an alert that is over."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from sentinel.config.units import parse_duration
from services.dispatcher.errors import SendError
from services.dispatcher.shield_book import ShieldBook
from services.dispatcher.shield_orders import Order, Request
from services.shield.client import ShieldClient, ShieldError, Tls

DEFAULT_TIMEOUT_S = 5.0


class ShieldSender:
    """Enforces in the order of the records. Shield knows actions by id, so that asking again does no harm."""

    def __init__(self, config: Callable[[], tuple[int, dict[str, Any]]], book: ShieldBook) -> None:
        self._config = config
        self._book = book
        self._client = ShieldClient()
        self._settings: dict[str, Any] = {}

    async def close(self) -> None:
        await self._client.__aexit__()

    async def concerns(self, order: Order) -> bool:
        """Whether there is anything to do: the end of an alert concerns Shield only when it has actions in force."""
        return bool(await self._book.in_force(order)) if order.release else bool(order.requests)

    async def __call__(self, order: Order) -> str | None:
        """Returns a note; raises SendError when Shield did not take it, or when it is too late."""
        await self._follow()
        try:
            return await (self._release(order) if order.release else self._enforce(order))
        except ShieldError as error:
            raise SendError(f"Shield: {error}", retryable=error.retryable) from None

    async def _follow(self) -> None:
        """Another time-out or other certificates: a new client."""
        _, config = self._config()
        settings = (config.get("integrations") or {}).get("shield") or {}
        if settings == self._settings:
            return
        await self.close()
        self._settings, tls = settings, settings.get("tls") or {}
        files = Tls(tls.get("caFile"), tls.get("certFile"), tls.get("keyFile"))
        self._client = ShieldClient(parse_duration(settings.get("timeout", DEFAULT_TIMEOUT_S)), files)

    async def _enforce(self, order: Order) -> str | None:
        now_ms = time.time_ns() // 1_000_000
        wanted: dict[str, list[Request]] = {}
        for request in order.requests:
            if request.ends_ms > now_ms:
                wanted.setdefault(self._endpoint(request.endpoint), []).append(request)
        if not wanted:
            raise SendError("the time of the action was over before it could be enforced", retryable=False)
        refused = []
        for endpoint, requests in wanted.items():
            answers = await self._client.enforce(endpoint, [request.to_action(now_ms, order.context) for request in requests])
            for request, answer in zip(requests, answers, strict=True):
                await self._book.enforced(order, request, endpoint, answer)
                if not answer.success:
                    refused.append(f"{request.kind} of {request.target}: {answer.message}")
        if refused:
            raise SendError(f"Shield refused {'; '.join(refused)}", retryable=False)
        return None

    async def _release(self, order: Order) -> str | None:
        ended = await self._book.in_force(order)
        for action_id, endpoint in ended:
            await self._book.revoked(action_id, await self._client.revoke(endpoint, action_id, f"alert {order.alert_id} is over"))
        return f"{len(ended)} revoked" + (f"; actions of {order.forgotten} more anomalies end by themselves" if order.forgotten else "")

    def _endpoint(self, own: str) -> str:
        endpoint = own or str(self._settings.get("endpoint") or "")
        if not endpoint:
            raise SendError("no Shield is configured (integrations.shield.endpoint)", retryable=False)
        return endpoint
