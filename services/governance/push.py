"""Pushes minute by minute: what was pushed is remembered in Postgres, what failed is pushed again, the same minutes with the same keys."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, LiteralString

import httpx
import orjson
import psycopg
import stamina

from sentinel.identity import stable_id
from sentinel.timestamps import to_rfc3339
from services.governance.collect import metrics

PATH = "/api/v1/metrics"
MAX_METRICS = 1_000
"""In one request."""
STEP = timedelta(minutes=10)
LAG = timedelta(minutes=2)
"""A minute is pushed this long after its end: then its rollups are stored."""
LOOK_BACK = timedelta(hours=1)
"""How far a first push goes back."""
LOCK_KEY = 5_365_637_402
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_PUSHED = """
INSERT INTO sentinel.governance_pushes (endpoint, pushed_until) VALUES (%s, %s)
ON CONFLICT (endpoint) DO UPDATE SET pushed_until = excluded.pushed_until, pushed_at = now()
"""


class PushError(Exception):
    """The dashboard did not take it, or the settings are not complete. `retryable`: whether it may later."""

    def __init__(self, reason: str, *, retryable: bool = False) -> None:
        super().__init__(reason)
        self.retryable = retryable


@dataclass(frozen=True)
class Dashboard:
    """Where to push, and the key that is sent as bearer token."""

    endpoint: str
    api_key: str = field(default="", repr=False)


@dataclass(frozen=True)
class Pushed:
    """What one turn did: the minutes in [start, end) and how many metrics they had."""

    start: datetime
    end: datetime
    metrics: int


def dashboard(config: dict[str, Any]) -> Dashboard:
    """The dashboard of an effective configuration, its key from the environment or a file. Raises PushError when there is none."""
    section = (config.get("integrations") or {}).get("governanceDashboard") or {}
    if not section.get("endpoint"):
        raise PushError("the configuration has no integrations.governanceDashboard.endpoint")
    key = str(section.get("apiKey") or "")
    if reference := _REFERENCE.fullmatch(key):
        found = os.environ.get(reference[1])
        if found is None:
            raise PushError(f"environment variable {reference[1]} is not set (integrations.governanceDashboard.apiKey)")
        key = found
    elif section.get("apiKeyFile"):
        try:
            key = Path(section["apiKeyFile"]).read_text().strip()
        except OSError as error:
            raise PushError(f"cannot read {section['apiKeyFile']}: {error.strerror}") from None
    return Dashboard(str(section["endpoint"]).rstrip("/"), key)


def push(dsn: str, to: Dashboard, *, since: datetime | None = None, now: datetime | None = None) -> list[Pushed]:
    """Everything that is complete and was not pushed; `since` pushes from there on again. Nothing when another process is at it.

    Raises PushError when the dashboard does not take it after 5 attempts, psycopg.Error when Postgres is away: what was pushed until
    then is remembered.
    """
    end = _minute((now or datetime.now(UTC)) - LAG)
    with (
        psycopg.connect(dsn, autocommit=True, connect_timeout=10) as connection,
        httpx.Client(follow_redirects=False, trust_env=False) as http,
    ):
        if not _first(connection, "SELECT pg_try_advisory_lock(%s)", LOCK_KEY):
            return []
        known = _first(connection, "SELECT pushed_until FROM sentinel.governance_pushes WHERE endpoint = %s", to.endpoint)
        start = _minute(since or known or end - LOOK_BACK)
        done = []
        while start < end:
            until = min(start + STEP, end)
            found = metrics(connection, start, until)
            for chunk in _chunks(found):
                _send(http, to, chunk, start, until)
            connection.execute(_PUSHED, (to.endpoint, max(until, known) if known else until))
            done.append(Pushed(start, until, len(found)))
            start = until
        return done


def _first(connection: psycopg.Connection[Any], sql: LiteralString, parameter: object) -> Any:
    row = connection.execute(sql, (parameter,)).fetchone()
    return row[0] if row else None


def _chunks(found: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    for first in range(0, len(found), MAX_METRICS):
        yield found[first : first + MAX_METRICS]


def _minute(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(second=0, microsecond=0)


def _send(http: httpx.Client, to: Dashboard, chunk: list[dict[str, Any]], start: datetime, end: datetime) -> None:
    window = {"start": _text(start), "end": _text(end)}
    body = orjson.dumps({"source": "llm-sentinel", "window": window, "metrics": chunk})
    headers = {"Content-Type": "application/json", "Idempotency-Key": stable_id("governance", to.endpoint, body.decode())}
    if to.api_key:
        headers["Authorization"] = f"Bearer {to.api_key}"

    def retryable(error: Exception) -> bool:
        return isinstance(error, PushError) and error.retryable

    for attempt in stamina.retry_context(retryable, attempts=5, timeout=None, wait_initial=WAIT_S, wait_max=30, wait_jitter=WAIT_S):
        with attempt:
            _once(http, to, body, headers)


WAIT_S = 1.0
"""Before the second attempt; doubled each time."""
ATTEMPT_S = 30.0
"""For one request, answer included."""
_EXCERPT_BYTES = 300


def _once(http: httpx.Client, to: Dashboard, body: bytes, headers: dict[str, str]) -> None:
    ends_s = time.monotonic() + ATTEMPT_S
    said = b""
    try:
        with http.stream("POST", to.endpoint + PATH, content=body, headers=headers, timeout=10) as response:
            for part in response.iter_bytes(_EXCERPT_BYTES):
                said += part
                if len(said) >= _EXCERPT_BYTES or time.monotonic() > ends_s:
                    break
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise PushError(f"the request cannot be made: {type(error).__name__}") from None
    except httpx.HTTPError as error:
        raise PushError(f"{to.endpoint}: {type(error).__name__} {error}".replace(to.api_key or "\0", "***"), retryable=True) from None
    if response.is_success:
        return
    status, text = response.status_code, said[:_EXCERPT_BYTES].decode(errors="replace").replace(to.api_key or "\0", "***")
    raise PushError(f"{to.endpoint}: HTTP {status} {text}".strip(), retryable=status >= 500 or status in (408, 425, 429))


def _text(at: datetime) -> str:
    return to_rfc3339(round(at.timestamp() * 1000))
