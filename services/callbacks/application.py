"""The HTTP side: `POST /webhooks/pagerduty`, answered when the request is in Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from sentinel.timestamps import to_rfc3339
from services.callbacks import pagerduty
from services.dispatcher.database import Database
from services.dispatcher.errors import SendError
from services.dispatcher.events import log_event, plain
from services.dispatcher.settings import with_secrets
from services.gateway.http_body import read_body
from services.gateway.records import MalformedError, SlowError, TooLargeError, UnsupportedTypeError

PATH = "/webhooks/pagerduty"
MAX_BODY_BYTES = 1 << 20
DATABASE_LIMIT_S = 5.0
_FIND = """
SELECT tenant_id, group_key, alert_id FROM sentinel.notifications
WHERE receiver_type = 'pagerduty' AND receiver = %(receiver)s AND created_at > now() - interval '30 days'
  AND encode(sha256(convert_to(tenant_id || E'\\n' || receiver || E'\\n' || group_key, 'UTF8')), 'hex') = %(dedup_key)s
ORDER BY created_at DESC LIMIT 1
"""

Publish = Callable[[bytes, bytes], Awaitable[None]]
"""Key and value of a record of `sentinel-control`; returns when Kafka has it, raises OSError when it has not."""


class Callbacks:
    """The ASGI application. `config` is the effective configuration in force, `now_ms` the clock."""

    def __init__(self, config: Callable[[], dict[str, Any]], database: Database, publish: Publish, now_ms: Callable[[], int]) -> None:
        self._config = config
        self._database = database
        self._publish = publish
        self._now_ms = now_ms

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        status, text = await self._answer(scope, receive)
        body = orjson.dumps({"status": text})
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: dict[str, Any], receive: Any) -> tuple[int, str]:
        if scope["path"] == "/health":
            return 200, "ok"
        if scope["path"] != PATH:
            return 404, f"expected {PATH}"
        if scope["method"] != "POST":
            return 405, "expected POST"
        headers = dict(scope["headers"])
        try:
            body = await read_body(receive, headers, MAX_BODY_BYTES)
        except TooLargeError as error:
            return 413, str(error)
        except SlowError as error:
            return 408, str(error)
        except (MalformedError, UnsupportedTypeError) as error:
            return 400, str(error)
        signature = headers.get(pagerduty.SIGNATURE_HEADER, b"").decode("latin-1")
        receiver = pagerduty.signed_by(body, signature, self._secrets())
        if receiver is None:
            log_event("callback_refused", reason="signature")
            return 401, "the signature is not that of a pagerduty receiver's webhookSecret"
        try:
            wish = pagerduty.wish(body)
        except ValueError as error:
            return 400, plain(str(error))
        return await self._pass_on(receiver, wish) if wish else (202, "nothing to do")

    async def _pass_on(self, receiver: str, wish: pagerduty.Wish) -> tuple[int, str]:
        try:
            async with asyncio.timeout(DATABASE_LIMIT_S):
                rows = await self._database.run(_FIND, receiver=receiver, dedup_key=wish.dedup_key)
        except TimeoutError:
            return 503, "the notifications cannot be read now"
        if not rows:
            return 202, "no alert of ours"
        tenant_id, group_key, alert_id = rows[0]
        control = {
            "control_id": wish.control_id,
            "action": wish.action,
            "tenant_id": tenant_id,
            "at": to_rfc3339(self._now_ms()),
            "by": wish.by,
            "comment": wish.comment,
            "alert_id": alert_id,
            "group_key": group_key,
        }
        try:
            await self._publish(tenant_id.encode(), orjson.dumps(control))
        except OSError as error:
            log_event("callback_failed", error=plain(str(error)))
            return 503, "the request was not taken"
        log_event("callback", action=wish.action, tenant_id=tenant_id, alert_id=alert_id, by=wish.by)
        return 202, f"{wish.action} of alert {alert_id}"

    def _secrets(self) -> list[tuple[str, str]]:
        """(receiver, secret) of every pagerduty receiver that has one; read at each request, so that a change counts at once."""
        found = []
        for receiver in (self._config().get("alerting") or {}).get("receivers") or []:
            settings = receiver.get("config") or {}
            wanted = {name: settings[name] for name in ("webhookSecret", "webhookSecretFile") if settings.get(name)}
            if receiver.get("type") != "pagerduty" or not wanted:
                continue
            try:
                found.append((receiver["name"], str(with_secrets(wanted, receiver["name"])["webhookSecret"])))
            except SendError as error:
                log_event("callback_secret", receiver=receiver["name"], error=str(error))
        return [(name, secret) for name, secret in found if secret]
