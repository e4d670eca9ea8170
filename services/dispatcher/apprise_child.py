"""`python -m services.dispatcher.apprise_child`: sends one message (JSON on standard input), says how it went (JSON on standard output)."""

from __future__ import annotations

import logging
import os
import resource
import signal
import sys
from typing import Any

import orjson

MEMORY_LIMIT_BYTES = 1 << 30
_LOCAL = frozenset({"dbus", "glib", "gnome", "kde", "macosx", "qt", "syslog", "windows", "file"})
"""Plug-ins that speak to this machine instead of a service."""


def main() -> int:
    """Exit code 0 when the outcome was said."""
    order: dict[str, Any] = orjson.loads(sys.stdin.buffer.read())
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]
    # The end of a service that answers drop by drop: what apprise counts are pauses, not the whole.
    signal.setitimer(signal.ITIMER_REAL, float(order["timeout_s"]) + 5)
    sys.stdout.buffer.write(orjson.dumps(_send(order)))
    return 0


def _send(order: dict[str, Any]) -> dict[str, Any]:
    import apprise
    import requests

    # A redirect is an answer like any other: a message must not go where the configuration does not say.
    requests.Session.get_redirect_target = lambda self, resp: None  # type: ignore[method-assign]
    said: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("apprise").addHandler(handler)
    service = apprise.Apprise.instantiate(order["url"])
    if service is None:
        return {"sent": False, "retryable": False, "reason": "expected a URL that apprise understands"}
    if str(order["url"]).split("://")[0].lower() in _LOCAL:
        return {"sent": False, "retryable": False, "reason": "expected a service, found a URL of this machine"}
    service.socket_connect_timeout = service.socket_read_timeout = float(order["timeout_s"])
    try:
        sent = bool(service.notify(body=order["body"], title=order["title"], notify_type=apprise.NotifyType(order["type"])))
    except MemoryError:
        return {"sent": False, "retryable": True, "reason": "the answer did not fit into memory"}
    reason = "; ".join(said) or f"{service.service_name} did not take the message"
    return {"sent": sent, "retryable": True, "reason": reason}


if __name__ == "__main__":
    sys.exit(main())
