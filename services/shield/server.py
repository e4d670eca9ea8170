"""A reference Shield: keeps actions in memory, lets them expire, and says what it did. For tests, demonstrations, and as a model to write one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from schemas.pb.llm.shield.v1 import shield_pb2 as pb
from schemas.pb.llm.shield.v1.shield_pb2_grpc import add_ShieldActionServicer_to_server

MAX_ACTIONS = 100_000
MAX_TEXT = 10_000
MAX_BULK = 1_000
SERVICE = pb.DESCRIPTOR.services_by_name["ShieldAction"].full_name

Tell = Callable[[dict[str, Any]], None]


@dataclass
class InForce:
    """One action that was taken; it ends at `until` (seconds since 1970), or when it is revoked."""

    action_id: str
    type: str
    target_entity: str
    reason: str
    parameters: dict[str, str]
    enforced_at_s: float
    until_s: float
    revoked: bool = False


class ReferenceShield:
    """Actions by id. An id that comes again changes nothing and is answered as before."""

    def __init__(self, tell: Tell = lambda event: None, clock: Callable[[], float] = time.time) -> None:
        self._tell = tell
        self._clock = clock
        self._actions: dict[str, InForce] = {}

    def in_force(self, target_entity: str | None = None) -> list[InForce]:
        """Actions that are neither over nor revoked, oldest first; of one target or of all."""
        now_s = self._clock()
        return [
            action
            for action in self._actions.values()
            if not action.revoked and action.until_s > now_s and target_entity in (None, action.target_entity)
        ]

    async def EnforceAction(self, request: Any, context: Any) -> pb.ActionResponse:  # noqa: N802 (gRPC's name)
        """INVALID_ARGUMENT when the request is not sound, RESOURCE_EXHAUSTED when there are too many actions."""
        if problem := self._problem(request):
            await context.abort(*problem)
        return self._enforce(request)

    async def BulkEnforceActions(self, request: Any, context: Any) -> pb.BulkActionResponse:  # noqa: N802
        """An action that is not sound has `success: false`; the others are enforced."""
        if len(request.actions) > MAX_BULK:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"expected at most {MAX_BULK} actions, found {len(request.actions)}")
        return pb.BulkActionResponse(responses=[self._judged(action) for action in request.actions])

    async def RevokeAction(self, request: Any, context: Any) -> pb.RevokeResponse:  # noqa: N802
        """NOT_FOUND when there never was such an action; one that is over already is answered with success."""
        action = self._actions.get(request.action_id)
        if action is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no action {request.action_id!r}")
            raise AssertionError("abort raises")
        over = action.revoked or action.until_s <= self._clock()
        action.revoked = True
        if not over:
            self._tell({"event": "revoked", "action_id": action.action_id, "target": action.target_entity, "reason": request.reason})
        answer = pb.RevokeResponse(success=True, action_id=request.action_id, message="was over already" if over else "revoked")
        answer.revoked_at.FromMilliseconds(round(self._clock() * 1000))
        return answer

    def _judged(self, request: Any) -> pb.ActionResponse:
        problem = self._problem(request)
        return pb.ActionResponse(success=False, action_id=request.action_id, message=problem[1]) if problem else self._enforce(request)

    def _problem(self, request: Any) -> tuple[grpc.StatusCode, str] | None:
        texts = [request.action_id, request.target_entity, request.reason, *request.parameters.keys(), *request.parameters.values()]
        if not request.action_id or not request.target_entity:
            return grpc.StatusCode.INVALID_ARGUMENT, "expected action_id and target_entity"
        if request.type not in pb.ActionType.values():
            return grpc.StatusCode.INVALID_ARGUMENT, f"expected a known type, found {request.type}"
        if request.HasField("duration") and request.duration.ToMilliseconds() <= 0:
            return grpc.StatusCode.INVALID_ARGUMENT, "expected a duration longer than zero"
        if max(map(len, texts)) > MAX_TEXT or len(request.parameters) > 100:
            return grpc.StatusCode.INVALID_ARGUMENT, f"expected texts of at most {MAX_TEXT} characters and 100 parameters"
        if request.action_id not in self._actions and len(self._actions) >= MAX_ACTIONS:
            self._forget()
            if len(self._actions) >= MAX_ACTIONS:
                return grpc.StatusCode.RESOURCE_EXHAUSTED, f"{MAX_ACTIONS} actions are in force"
        return None

    def _forget(self) -> None:
        now_s = self._clock()
        self._actions = {key: action for key, action in self._actions.items() if not action.revoked and action.until_s > now_s}

    def _enforce(self, request: Any) -> pb.ActionResponse:
        known = self._actions.get(request.action_id)
        if known is None:
            now_s = self._clock()
            until_s = now_s + request.duration.ToMilliseconds() / 1000 if request.HasField("duration") else float("inf")
            known = InForce(
                request.action_id,
                pb.ActionType.Name(request.type),
                request.target_entity,
                request.reason,
                dict(request.parameters),
                now_s,
                until_s,
            )
            self._actions[known.action_id] = known
            self._tell(
                {
                    "event": "enforced",
                    "action_id": known.action_id,
                    "type": known.type,
                    "target": known.target_entity,
                    "seconds": None if until_s == float("inf") else round(until_s - now_s, 3),
                    "reason": known.reason,
                }
            )
        answer = pb.ActionResponse(success=True, action_id=known.action_id, message="enforced")
        answer.enforced_at.FromMilliseconds(round(known.enforced_at_s * 1000))
        return answer


async def start(shield: ReferenceShield, host: str = "127.0.0.1", port: int = 0) -> tuple[grpc.aio.Server, int]:
    """A running server with health and reflection, and its port (0 asks for a free one). Raises OSError when the port is taken."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 4 << 20)])
    add_ShieldActionServicer_to_server(shield, server)
    checks = health.aio.HealthServicer()  # type: ignore[attr-defined]
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    await checks.set("", health_pb2.HealthCheckResponse.SERVING)
    await checks.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
    reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    try:
        bound = server.add_insecure_port(f"{host}:{port}")
    except RuntimeError:
        raise OSError(f"port {port} of {host} is not free") from None
    await server.start()
    return server, bound
