"""The client: makes events and hands them to the sender. An application never waits for it and never sees an exception of it."""

from __future__ import annotations

import atexit
import json
import logging
import os
import socket
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from llm_sentinel_client.call import Call
from llm_sentinel_client.sender import Counts, Sender
from llm_sentinel_client.transport import Transport

_log = logging.getLogger("llm_sentinel_client")


class Sentinel:
    """Sends telemetry of one application.

    Args:
        endpoint: the gateway, as `http://127.0.0.1:8080`. By default the variable SENTINEL_ENDPOINT; where that is not set either, nothing is sent.
        application: what the application is called; by default SENTINEL_APPLICATION.
        token: the gateway's token; by default SENTINEL_TOKEN.
        tenant: one of the token's tenants, when it has several.
        environment: `dev`, `staging` or `prod`.
        most_waiting: events that wait at most; beyond them the oldest are dropped (and counted).
        interval_s: an event waits at most so long for others before it is sent.
        exit_timeout_s: how long the end of the process may be held up by events that are not sent yet.

    Raises:
        ValueError: here and only here, for an address that is none or a missing application.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        application: str | None = None,
        *,
        token: str | None = None,
        tenant: str | None = None,
        environment: str | None = None,
        service_version: str | None = None,
        most_waiting: int = 10_000,
        interval_s: float = 1.0,
        exit_timeout_s: float = 5.0,
    ) -> None:
        endpoint = endpoint or os.environ.get("SENTINEL_ENDPOINT")
        name = application or os.environ.get("SENTINEL_APPLICATION")
        self._exit_timeout_s, self._environment, self._invalid = exit_timeout_s, environment, 0
        self._sender: Sender | None = None
        if not endpoint:
            _log.warning("no endpoint and no SENTINEL_ENDPOINT: no telemetry is sent")
            return
        if not name:
            raise ValueError("expected a name of the application (or SENTINEL_APPLICATION)")
        transport = Transport(endpoint, token or os.environ.get("SENTINEL_TOKEN"), tenant)
        source = {"service": name, "host": socket.gethostname() or "unknown", "version": service_version}
        self._common = {"source": _given(source), "application_id": name}
        self._sender = Sender(transport, most_waiting, interval_s)
        atexit.register(self.close)

    def call(
        self,
        model: str,
        prompt: str | None = None,
        *,
        parameters: Mapping[str, Any] | None = None,
        user_id: str | None = None,
        session_id: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Call:
        """A `with` block around one call of a model; see `Call`."""
        return Call(self, model, prompt, parameters, {"user_id": user_id, "session_id": session_id, "tags": tags})

    def metric(self, name: str, value: float, *, unit: str | None = None, dimensions: Mapping[str, str] | None = None) -> None:
        """One number that the application measured itself."""
        self.event("llm.metric", {"metric_name": name, "value": value, "unit": unit, "dimensions": dimensions})

    def event(
        self, event_type: str, data: Mapping[str, Any], *, correlation_id: str | None = None, metadata: Mapping[str, Any] | None = None
    ) -> None:
        """Any event of the schema; members that are None are left out."""
        if self._sender is None:
            return
        try:
            more = _given({"environment": self._environment, **(metadata or {})})
            event = {
                "event_id": str(uuid.uuid4()),
                "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                "event_type": event_type,
                **self._common,
                **_given({"correlation_id": correlation_id, "metadata": more or None}),
                "data": _given(data),
            }
            self._sender.add(json.dumps(event, ensure_ascii=False, allow_nan=False, default=str).encode("utf-8", "replace"))
        except Exception as error:
            self._invalid += 1
            if self._invalid == 1:
                _log.warning("an event cannot be written as JSON and is dropped: %s: %s", type(error).__name__, error)

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Waits until nothing is left to send; False when the time was not enough."""
        return self._sender is None or self._sender.flush(timeout_s)

    def close(self) -> None:
        """Flushes and stops. Done by itself when the process ends."""
        if self._sender is not None:
            self._sender.close(self._exit_timeout_s)
            atexit.unregister(self.close)

    @property
    def counts(self) -> Counts:
        """How many events were sent, refused, dropped (with those that could not be written) and wait."""
        counts = self._sender.counts() if self._sender is not None else Counts(0, 0, 0, 0)
        return counts._replace(dropped=counts.dropped + self._invalid)


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
