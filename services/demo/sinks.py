"""Receivers that the demonstration runs itself on free ports of the loopback: a webhook and a mail server that only take note."""

from __future__ import annotations

import email
import email.policy
import json
import socketserver
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Received:
    """One message that arrived. `channel` is webhook or email; `at` seconds since the epoch."""

    channel: str
    at: float
    title: str


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True
    inbox: Inbox


class _SmtpServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    inbox: Inbox


class Inbox:
    """Both servers; use as a context manager. Reading `received` is safe from any thread."""

    def __init__(self) -> None:
        self._received: list[Received] = []
        self._lock = threading.Lock()
        self._http = _HttpServer(("127.0.0.1", 0), _Webhook)
        self._smtp = _SmtpServer(("127.0.0.1", 0), _Smtp)
        self._http.inbox = self._smtp.inbox = self

    @property
    def webhook_url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/sentinel"

    @property
    def smtp_port(self) -> int:
        return int(self._smtp.server_address[1])

    @property
    def received(self) -> tuple[Received, ...]:
        with self._lock:
            return tuple(self._received)

    def take(self, channel: str, title: str) -> None:
        """Note a message."""
        with self._lock:
            self._received.append(Received(channel, time.time(), title))

    def __enter__(self) -> Inbox:
        for server in (self._http, self._smtp):
            threading.Thread(target=server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in (self._http, self._smtp):
            server.shutdown()
            server.server_close()


class _Webhook(BaseHTTPRequestHandler):
    """Accepts Alertmanager v4 JSON."""

    server: _HttpServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            title = webhook_title(json.loads(body))
        except ValueError:
            self.send_error(400, "expected JSON")
            return
        self.server.inbox.take("webhook", title)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: the terminal belongs to the live view."""


def webhook_title(body: Any) -> str:
    """`status alertname application` of an Alertmanager v4 message."""
    if not isinstance(body, dict):
        raise ValueError("expected a JSON object")
    labels = body.get("commonLabels") or {}
    return " ".join(filter(None, (str(body.get("status", "")), str(labels.get("alertname", "")), str(labels.get("application_id", "")))))


class _Smtp(socketserver.StreamRequestHandler):
    """As much of RFC 5321 as a client needs to hand over plain mail."""

    server: _SmtpServer
    timeout = 30

    def handle(self) -> None:
        self._say("220 sentinel-demo")
        while line := self.rfile.readline(2048):
            verb = line.strip().upper().split(b" ")[0]
            if verb in (b"EHLO", b"HELO"):
                self._say("250 sentinel-demo")
            elif verb == b"DATA":
                self._say("354 end with a dot")
                self._message()
            elif verb == b"QUIT":
                self._say("221 bye")
                return
            elif verb[:4] in (b"MAIL", b"RCPT", b"RSET", b"NOOP"):
                self._say("250 ok")
            else:
                self._say("502 not known here")

    def _message(self) -> None:
        lines = []
        while (line := self.rfile.readline(1 << 20)) and line not in (b".\r\n", b".\n"):
            lines.append(line[1:] if line.startswith(b"..") else line)
        message = email.message_from_bytes(b"".join(lines), policy=email.policy.default)
        self.server.inbox.take("email", str(message["subject"]))
        self._say("250 taken")

    def _say(self, text: str) -> None:
        self.wfile.write(text.encode() + b"\r\n")
