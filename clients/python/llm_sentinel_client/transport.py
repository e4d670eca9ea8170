"""One batch to the gateway's HTTP door, and what its answer means for the batch."""

from __future__ import annotations

import gzip
import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from enum import Enum
from typing import Any, NamedTuple
from urllib.parse import urlsplit

PATH = "/api/v1/telemetry/events"
TIMEOUT_S = 10.0
_AGAIN = frozenset((408, 425, 429, 500, 502, 503, 504))
_MOST_WAIT_S = 60.0
_MOST_ANSWER_BYTES = 1_000_000


class Verdict(Enum):
    """What is to be done with a batch."""

    DONE = "done"
    AGAIN = "again"
    SPLIT = "split"
    REFUSED = "refused"


class Answer(NamedTuple):
    """`refused` events of a batch that is done were not valid; `why` is for the log; `wait_s` is what the gateway asks for."""

    verdict: Verdict
    refused: int = 0
    why: str = ""
    wait_s: float | None = None


class Transport:
    """Posts batches. `endpoint` is the gateway's address without a path.

    Raises ValueError for an address that is none.
    """

    def __init__(self, endpoint: str, token: str | None, tenant: str | None) -> None:
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError(f"expected the gateway's address as http://host:port, got {endpoint!r}")
        self.url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}{PATH}"
        self._headers = {"content-type": "application/x-ndjson", "content-encoding": "gzip", "user-agent": "llm-sentinel-client/0.1"}
        if token:
            self._headers["authorization"] = f"Bearer {token}"
        if tenant:
            self._headers["x-sentinel-tenant"] = tenant

    def send(self, events: Sequence[bytes], timeout_s: float = TIMEOUT_S) -> Answer:
        """Sends events (JSON each) as one request; never raises."""
        try:
            body = gzip.compress(b"\n".join(events), 1)
            request = urllib.request.Request(self.url, body, self._headers, method="POST")  # noqa: S310 - http or https, see above
            with _opener.open(request, timeout=timeout_s) as answer:
                return _accepted(answer.status, answer.read(_MOST_ANSWER_BYTES))
        except urllib.error.HTTPError as error:
            with error:
                return _failed(error, len(events))
        except Exception as error:  # network, TLS, proxy: all of it may pass
            return Answer(Verdict.AGAIN, why=f"{type(error).__name__}: {error}")


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the token to another server."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirects)


def _accepted(status: int, body: bytes) -> Answer:
    if status != 207:
        return Answer(Verdict.DONE)
    try:
        rejections = json.loads(body)["rejections"]
        first = rejections[0]
        why = f"{first['field']}: expected {first['expected']}, got {first['found']}"
    except (ValueError, LookupError, TypeError):
        return Answer(Verdict.DONE, why="some events were refused")
    return Answer(Verdict.DONE, refused=len(rejections), why=why)


def _failed(error: urllib.error.HTTPError, events: int) -> Answer:
    why = f"{error.code} {_detail(error)}"
    if error.code in _AGAIN:
        return Answer(Verdict.AGAIN, why=why, wait_s=_wait_s(error.headers.get("retry-after")))
    if error.code == 413 and events > 1:
        return Answer(Verdict.SPLIT, why=why)
    return Answer(Verdict.REFUSED, refused=events, why=why)


def _detail(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read(_MOST_ANSWER_BYTES)).get("detail", error.reason))[:500]
    except Exception:
        return str(error.reason)


def _wait_s(retry_after: str | None) -> float | None:
    """Seconds only: the gateway sends no dates."""
    try:
        return min(max(float(retry_after), 0.0), _MOST_WAIT_S) if retry_after else None
    except ValueError:
        return None
