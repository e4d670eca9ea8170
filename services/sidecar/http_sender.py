"""NDJSON with gzip to the gateway's HTTP door."""

from __future__ import annotations

import gzip
import ssl
from collections.abc import Sequence
from typing import Any

import httpx

from services.gateway.http_door import EVENTS_PATH
from services.gateway.settings import GatewaySettingsError
from services.sidecar.senders import AwayError, BatchTooLargeError, Delivered, FailedError, RefusedError, Told
from services.sidecar.settings import Target

_LEVEL = 4
_CLOSED = (401, 403, 404, 405)
_GONE = (408, 429, 502, 503, 504)


class HttpSender:
    """See `Sender`."""

    max_batch_bytes = 950_000
    """Below the gateway's 1 MB a body, also after unzipping."""

    def __init__(self, target: Target, *, gzip: bool) -> None:
        self._target, self._gzip = target, gzip
        verify: ssl.SSLContext | bool = True
        if target.secure:
            verify = ssl.create_default_context(cafile=target.tls.ca_file)
            if target.tls.cert_file is not None:
                try:
                    verify.load_cert_chain(target.tls.cert_file, target.tls.key_file)
                except OSError as error:
                    raise GatewaySettingsError(f"forwarding.central.tls: {error}") from None
        self._url = f"{'https' if target.secure else 'http'}://{target.address}{EVENTS_PATH}"
        self._client = httpx.AsyncClient(verify=verify, timeout=target.timeout_s, trust_env=False)

    async def send(self, events: Sequence[bytes]) -> Delivered:
        """See `Sender`."""
        body = b"\n".join(event.replace(b"\n", b" ") for event in events)
        headers = {"content-type": "application/x-ndjson"}
        if self._gzip:
            body = gzip.compress(body, _LEVEL)
            headers["content-encoding"] = "gzip"
        token = self._target.token()
        if token:
            headers["authorization"] = f"Bearer {token}"
        try:
            answer = await self._client.post(self._url, content=body, headers=headers)
        except httpx.HTTPError as error:
            raise AwayError(f"{type(error).__name__}: {error}") from None
        return _meaning(answer, len(events))

    async def close(self) -> None:
        """See `Sender`."""
        await self._client.aclose()


def _meaning(answer: httpx.Response, events: int) -> Delivered:
    document = _document(answer)
    status, text = answer.status_code, f"HTTP {answer.status_code}: {document.get('detail', 'no details')}"
    if status == 202:
        return Delivered(events, [])
    if "rejections" in document:
        # 207, or none was taken: 400, and 403 for foreign tenants.
        refused = [Told(str(one["field"]), str(one["reason"])) for one in document["rejections"]]
        return Delivered(int(document["accepted"]), refused)
    if status in _CLOSED or status in _GONE:
        raise AwayError(text, _retry_after(answer))
    if status == 413:
        raise BatchTooLargeError(text)
    if 400 <= status < 500:
        raise RefusedError(text)
    raise FailedError(text)


def _document(answer: httpx.Response) -> dict[str, Any]:
    try:
        document = answer.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _retry_after(answer: httpx.Response) -> float | None:
    given = answer.headers.get("retry-after", "")
    return float(given) if given.isdigit() else None
