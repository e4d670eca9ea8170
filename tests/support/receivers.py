"""Receivers that are really there: a web server and a mail server on free ports, and what they were sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from typing import Any

from aiosmtpd.controller import Controller
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from tests.support.postgres import free_port


@dataclass
class Receivers:
    webhook_url: str
    smtp_port: int
    calls: list[dict[str, Any]] = field(default_factory=list)
    """Bodies that the webhook got."""
    mails: list[Message] = field(default_factory=list)


@contextmanager
def running_receivers() -> Iterator[Receivers]:
    """Both servers; they accept everything."""
    server = HTTPServer(host="127.0.0.1", port=0)
    server.start()
    receivers = Receivers(server.url_for("/alerts"), free_port())

    def called(request: Request) -> Response:
        receivers.calls.append(json.loads(request.data))
        return Response("ok")

    class Mailbox:
        async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 (aiosmtpd's name)
            receivers.mails.append(message_from_bytes(envelope.content))
            return "250 OK"

    server.expect_request("/alerts", method="POST").respond_with_handler(called)
    mail = Controller(Mailbox(), hostname="127.0.0.1", port=receivers.smtp_port)
    mail.start()
    try:
        yield receivers
    finally:
        mail.stop()
        server.stop()
