"""Client of `llm.shield.v1.ShieldAction`: one channel an endpoint, failures told apart by whether they may pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc

from schemas.pb.llm.shield.v1 import shield_pb2 as pb
from schemas.pb.llm.shield.v1.shield_pb2_grpc import ShieldActionStub

MAX_BULK = 100
"""Actions in one BulkEnforceActions."""
_PASSING = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.CANCELLED,
    }
)


class ShieldError(Exception):
    """Shield did not answer, or refused the call. `retryable`: whether the same call may succeed later."""

    def __init__(self, reason: str, *, retryable: bool) -> None:
        super().__init__(reason)
        self.retryable = retryable


@dataclass(frozen=True)
class Action:
    """One action to enforce; `kind` as in the configuration (block, rate_limit, …)."""

    action_id: str
    kind: str
    target: str
    reason: str
    duration_s: float
    parameters: dict[str, str]


@dataclass(frozen=True)
class Enforced:
    """Shield's answer for one action; `at` is when it came into force (now, when Shield does not say)."""

    action_id: str
    success: bool
    message: str
    at: datetime


@dataclass(frozen=True)
class Tls:
    """PEM files for `grpcs://`; without a CA the system's are trusted."""

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None


class ShieldClient:
    """Speaks to any number of Shields. Use it as an async context manager."""

    def __init__(self, timeout_s: float = 5.0, tls: Tls | None = None) -> None:
        self.timeout_s = timeout_s
        self._tls = tls or Tls()
        self._channels: dict[str, grpc.aio.Channel] = {}

    async def __aenter__(self) -> ShieldClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        for channel in self._channels.values():
            await channel.close(None)
        self._channels.clear()

    async def enforce(self, endpoint: str, actions: Sequence[Action]) -> list[Enforced]:
        """Enforces one action, or several in bulk; the answers are in their order. Raises ShieldError."""
        requests = [_request(action) for action in actions]
        stub = self._stub(endpoint)
        if len(requests) == 1:
            answers = [await self._call(stub.EnforceAction, requests[0])]
        else:
            answers = []
            for start in range(0, len(requests), MAX_BULK):
                chunk = requests[start : start + MAX_BULK]
                bulk = await self._call(stub.BulkEnforceActions, pb.BulkActionRequest(actions=chunk))
                if len(bulk.responses) != len(chunk):
                    raise ShieldError(f"expected {len(chunk)} answers of BulkEnforceActions, found {len(bulk.responses)}", retryable=False)
                answers += bulk.responses
        return [_enforced(action, answer) for action, answer in zip(actions, answers, strict=True)]

    async def revoke(self, endpoint: str, action_id: str, reason: str) -> str:
        """Ends an action. Returns Shield's message; an action that Shield does not know is over as well. Raises ShieldError."""
        try:
            answer = await self._call(self._stub(endpoint).RevokeAction, pb.RevokeRequest(action_id=action_id, reason=reason))
        except ShieldError as error:
            if isinstance(error.__cause__, grpc.aio.AioRpcError) and error.__cause__.code() is grpc.StatusCode.NOT_FOUND:
                return "not known to Shield"
            raise
        if not answer.success:
            raise ShieldError(f"not revoked: {answer.message}", retryable=False)
        return str(answer.message)

    async def _call(self, method: Any, request: Any) -> Any:
        try:
            return await method(request, timeout=self.timeout_s)
        except grpc.aio.AioRpcError as error:
            reason = f"{error.code().name}: {error.details() or 'no details'}"
            raise ShieldError(reason, retryable=error.code() in _PASSING) from error

    def _stub(self, endpoint: str) -> Any:
        if endpoint not in self._channels:
            self._channels[endpoint] = self._channel(endpoint)
        return ShieldActionStub(self._channels[endpoint])

    def _channel(self, endpoint: str) -> grpc.aio.Channel:
        # A Shield that comes back is noticed within seconds, not after gRPC's two minutes.
        options = [("grpc.max_reconnect_backoff_ms", 5_000), ("grpc.initial_reconnect_backoff_ms", 500), ("grpc.enable_http_proxy", 0)]
        if not endpoint.startswith("grpcs://"):
            return grpc.aio.insecure_channel(endpoint.removeprefix("grpc://"), options)
        tls = self._tls
        try:
            credentials = grpc.ssl_channel_credentials(_pem(tls.ca_file), _pem(tls.key_file), _pem(tls.cert_file))
        except OSError as error:
            raise ShieldError(f"cannot read {error.filename}: {error.strerror}", retryable=False) from None
        return grpc.aio.secure_channel(endpoint.removeprefix("grpcs://"), credentials, options)


def _request(action: Action) -> pb.ActionRequest:
    request = pb.ActionRequest(
        action_id=action.action_id,
        type=pb.ActionType.Value(action.kind.upper()),
        target_entity=action.target,
        reason=action.reason,
        parameters=action.parameters,
    )
    request.duration.FromMilliseconds(max(1, round(action.duration_s * 1000)))
    return request


def _enforced(action: Action, answer: pb.ActionResponse) -> Enforced:
    at = answer.enforced_at.ToDatetime(UTC) if answer.HasField("enforced_at") else datetime.now(UTC)
    return Enforced(action.action_id, answer.success, answer.message, at)


def _pem(file: str | None) -> bytes | None:
    return Path(file).read_bytes() if file else None
