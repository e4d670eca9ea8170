"""What else people use, by `apprise`: each message is sent by a process of its own.

Apprise's plug-ins read whole answers, follow redirects and log to one place. A process bounds all of it: it is killed at the time limit,
has a limit on memory, follows no redirect, and its messages are those of one delivery.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress

import orjson

from services.dispatcher.errors import SendError
from services.dispatcher.events import plain
from services.dispatcher.notification import Notification, headline
from services.dispatcher.settings import AppriseSettings

START_LIMIT_S = 20.0
"""What the process may take beside the receiver's own time-out: a busy machine starts it slowly."""
_TYPES = {"critical": "failure", "warning": "warning", "info": "info"}


async def send(settings: AppriseSettings, notification: Notification) -> str | None:
    """Sends one message. Raises SendError when the URL is not understood (for good) or the service did not take it (may pass)."""
    kind = _TYPES.get(notification.severity, "info") if notification.firing else "success"
    order = {
        "url": settings.url.get_secret_value(),
        "title": plain(headline(notification), 250),
        "body": notification.text or notification.title,
        "type": kind,
        "timeout_s": settings.timeout_s,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.dispatcher.apprise_child",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(settings.timeout_s + START_LIMIT_S):
            output, _ = await process.communicate(orjson.dumps(order))
    except TimeoutError:
        raise SendError(f"no answer within {settings.timeout_s:g} s", retryable=True) from None
    finally:
        with suppress(ProcessLookupError):
            process.kill()
    try:
        answer = orjson.loads(output)
    except orjson.JSONDecodeError:
        raise SendError(f"apprise ended with code {process.returncode}", retryable=True) from None
    if answer["sent"]:
        return None
    raise SendError(plain(answer["reason"]), retryable=answer["retryable"])
