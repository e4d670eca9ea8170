"""One POST to a receiver's HTTP address: bounded in time and in what is read, redirects not followed, failures as SendError."""

from __future__ import annotations

import asyncio
import time
from email.utils import parsedate_to_datetime
from typing import NamedTuple

import httpx
import orjson

from services.dispatcher.errors import SendError
from services.dispatcher.events import plain

RETRYABLE_STATUS = frozenset({408, 425, 429})
_READ_LIMIT_BYTES = 4_096
_EXCERPT = 300


class Answer(NamedTuple):
    """What a receiver said: status, the beginning of its body, and the seconds of Retry-After (None when it did not ask)."""

    status: int
    text: str
    retry_after_s: float | None

    @property
    def ok(self) -> bool:
        """Whether the status is one of 2xx."""
        return 200 <= self.status < 300

    def json(self) -> object:
        """The body as JSON; None when it is none, or longer than what is read."""
        try:
            return orjson.loads(self.text)
        except orjson.JSONDecodeError:
            return None

    def refusal(self, reason: str = "", *, retryable: bool | None = None) -> SendError:
        """The failure that this answer is: 5xx, 408, 425 and 429 may pass, everything else will not, unless the caller knows better."""
        passing = self.status >= 500 or self.status in RETRYABLE_STATUS if retryable is None else retryable
        redirect = " (redirects are not followed)" if 300 <= self.status < 400 else ""
        text = f"HTTP {self.status}{redirect} {reason or plain(self.text, _EXCERPT)}".strip()
        return SendError(text, retryable=passing, retry_after_s=self.retry_after_s if passing else None)


def client() -> httpx.AsyncClient:
    """The client that all receivers share: no redirects, no proxy or .netrc of the environment, and no common
    connection limit, at which one hanging receiver would make the others wait."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
    return httpx.AsyncClient(follow_redirects=False, trust_env=False, limits=limits, headers={"User-Agent": "LLM-Sentinel"})


async def post(
    http: httpx.AsyncClient,
    url: str,
    body: bytes,
    *,
    timeout_s: float,
    headers: dict[str, str] | None = None,
    auth: httpx.Auth | None = None,
    method: str = "POST",
    status_suffices: bool = False,
) -> Answer:
    """Sends a JSON body and returns the answer, whatever its status. Raises SendError when there is none.

    With `status_suffices` the body of a 2xx is not waited for: who has accepted and then says nothing must not be told again.
    """
    sent = {"Content-Type": "application/json", **(headers or {})}
    try:
        # httpx bounds each step; the outer time-out bounds a receiver that answers drop by drop.
        async with (
            asyncio.timeout(timeout_s),
            http.stream(method, url, content=body, headers=sent, auth=auth, timeout=timeout_s) as response,
        ):
            text = "" if status_suffices and response.is_success else await _beginning(response)
            wait_s = retry_after(response.headers.get("Retry-After"))
            return Answer(response.status_code, text, wait_s)
    except TimeoutError:
        raise SendError(f"no answer within {timeout_s:g} s", retryable=True) from None
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError, UnicodeEncodeError) as error:
        raise SendError(f"the request cannot be made: {type(error).__name__}", retryable=False) from None
    except httpx.HTTPError as error:
        raise SendError(plain(f"{type(error).__name__} {error}{_deeper(error)}".strip()), retryable=True) from None


def _deeper(error: BaseException) -> str:
    """What lies below an error that says nothing itself, such as broken TLS."""
    if str(error):
        return ""
    cause = error.__cause__ or error.__context__
    while cause is not None and not str(cause) and (cause.__cause__ or cause.__context__):
        cause = cause.__cause__ or cause.__context__
    return f"({type(cause).__name__} {cause}".strip() + ")" if cause is not None else ""


async def _beginning(response: httpx.Response) -> str:
    """A receiver may answer with anything of any length: what says why is at the start."""
    start = b""
    async for chunk in response.aiter_bytes(_READ_LIMIT_BYTES):
        start += chunk
        if len(start) >= _READ_LIMIT_BYTES:
            break
    return start[:_READ_LIMIT_BYTES].decode(errors="replace")


def retry_after(value: str | None) -> float | None:
    """Seconds of a Retry-After header, given as seconds or as an HTTP date (RFC 9110, 10.2.3); None when absent or unreadable."""
    if value is None:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        return float(value.strip()[:9])
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
