"""Client and reference server over real gRPC: enforcing once, in bulk, expiry, revoking, and what is refused."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.shield.client import Action, ShieldClient, ShieldError
from services.shield.server import SERVICE
from tests.support.shield import RunningShield

ACTION = Action("a-1", "block", "acme/user:u-1", "prompt injection", 60.0, {"severity": "critical"})


def with_client(work: Callable[[ShieldClient], Awaitable[Any]], timeout_s: float = 5.0) -> Any:
    async def run() -> Any:
        async with ShieldClient(timeout_s) as client:
            return await work(client)

    return asyncio.run(run())


def test_an_action_is_in_force_once_and_ends_by_itself(shield: RunningShield) -> None:
    async def twice(client: ShieldClient) -> list[Any]:
        return await client.enforce(shield.endpoint, [ACTION]) + await client.enforce(shield.endpoint, [replace(ACTION, reason="again")])

    first, second = with_client(twice)
    assert first.success
    assert first.at == second.at
    (known,) = shield.shield.in_force("acme/user:u-1")
    assert (known.type, known.reason, known.parameters) == ("BLOCK", "prompt injection", {"severity": "critical"})
    assert known.until_s - known.enforced_at_s == pytest.approx(60)
    assert [event["event"] for event in shield.events] == ["enforced"]
    shield.shift_s = 61
    assert shield.shield.in_force() == []


@pytest.mark.parametrize("kind", ["block", "rate_limit", "throttle", "quarantine", "alert_only"])
def test_every_kind_has_its_type(shield: RunningShield, kind: str) -> None:
    with_client(lambda client: client.enforce(shield.endpoint, [replace(ACTION, kind=kind)]))
    assert shield.shield.in_force()[0].type == kind.upper()


def test_in_bulk_one_that_is_refused_does_not_hold_back_the_others(shield: RunningShield) -> None:
    actions = [replace(ACTION, action_id=f"a-{n}", target="" if n == 130 else f"acme/user:u-{n}") for n in range(250)]
    answers = with_client(lambda client: client.enforce(shield.endpoint, actions))
    assert [answer.action_id for answer in answers] == [action.action_id for action in actions]
    assert [n for n, answer in enumerate(answers) if not answer.success] == [130]
    assert answers[130].message == "expected action_id and target_entity"
    assert len(shield.shield.in_force()) == 249


def test_a_revoked_action_is_over_and_revoking_again_is_no_error(shield: RunningShield) -> None:
    async def work(client: ShieldClient) -> list[str]:
        await client.enforce(shield.endpoint, [ACTION])
        return [await client.revoke(shield.endpoint, name, "over") for name in ("a-1", "a-1", "a-2")]

    assert with_client(work) == ["revoked", "was over already", "not known to Shield"]
    assert shield.shield.in_force() == []
    assert shield.events[-1]["reason"] == "over"


@pytest.mark.parametrize("wrong", [{"action_id": ""}, {"target": ""}, {"reason": "x" * 10_001}])
def test_what_is_not_sound_is_refused_for_good(shield: RunningShield, wrong: dict[str, str]) -> None:
    with pytest.raises(ShieldError, match="INVALID_ARGUMENT: expected") as caught:
        with_client(lambda client: client.enforce(shield.endpoint, [replace(ACTION, **wrong)]))  # type: ignore[arg-type]
    assert not caught.value.retryable
    assert shield.shield.in_force() == []


def test_a_shield_that_is_away_may_come_back(shield: RunningShield) -> None:
    shield.stop()

    async def work(client: ShieldClient) -> Any:
        with pytest.raises(ShieldError, match="UNAVAILABLE") as caught:
            await client.enforce(shield.endpoint, [ACTION])
        assert caught.value.retryable
        await asyncio.to_thread(shield.start)
        for _ in range(100):
            try:
                return await client.enforce(shield.endpoint, [ACTION])
            except ShieldError:
                await asyncio.sleep(0.1)
        raise AssertionError("it did not come back")

    assert with_client(work)[0].success


def test_the_server_answers_health_checks(shield: RunningShield) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{shield.port}") as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=SERVICE), timeout=10)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
