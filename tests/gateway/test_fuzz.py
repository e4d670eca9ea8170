"""Broken, mutated and random input at every door: no crash, no 5xx, and what is good still gets in.

How much of it is `SENTINEL_FUZZ_ROUNDS`; `SENTINEL_FUZZ_ROUNDS=1000 python -m pytest -s tests/gateway/test_fuzz.py` prints the table of docs/ingestion.md.
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from schemas.pb.llm.sentinel.v1 import ingestion_pb2 as pb
from sentinel.config.model import SentinelConfig
from services.gateway.admission import admit
from services.gateway.http_body import split_events
from services.gateway.records import MalformedError
from services.gateway.settings import enrichment_of
from services.gateway.tenants import Principal
from tests.gateway.test_grpc_door import message
from tests.gateway.test_otlp_door import DIALECTS, export, hex_json
from tests.support.doors import Doors, event, lines

ROUNDS = int(os.environ.get("SENTINEL_FUZZ_ROUNDS", "60"))
SEEN: dict[str, Counter[str]] = defaultdict(Counter)
"""Statuses by what was sent."""
OPEN, ACME = Principal("default", None), Principal("acme", frozenset(("acme",)))
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[None]:
    """Prints what was seen, at the end."""
    yield
    print("\n| Sent | Requests | Answers |\n|---|--:|---|")
    for name, seen in SEEN.items():
        print(f"| {name} | {seen.total():,} | {', '.join(f'{status}: {count:,}' for status, count in sorted(seen.items()))} |")


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    for key, item in value.items() if isinstance(value, dict) else ():
        found += places(item, (*path, key))
    return found


EVENT = event(tenant_id="acme", correlation_id="c", metadata={"user_id": "u", "tags": {"a": "b"}})
PLACES = places(EVENT)
ENRICHMENT = enrichment_of(SentinelConfig())


@given(place=st.sampled_from(PLACES), value=anything, who=st.sampled_from([OPEN, ACME]))
@settings(max_examples=max(ROUNDS, 150), deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_value_at_any_place_of_an_event_is_judged(place: tuple[Any, ...], value: Any, who: Principal) -> None:
    changed = json.loads(json.dumps(EVENT))
    parent = changed
    for step in place[:-1]:
        parent = parent[step]
    parent[place[-1]] = value
    good = lines([EVENT])
    admitted = admit([good, json.dumps(changed).encode("utf-8", "surrogatepass"), good], who, ENRICHMENT)
    records = [record for group in admitted.by_tenant.values() for record in group]
    assert len(records) + len(admitted.rejections) == 3
    assert len(records) >= 2, "a bad neighbour spoils nothing"
    SEEN["events with any value at any place (hypothesis)"]["taken" if len(records) == 3 else "refused"] += 1
    for record in records:
        stored = json.loads(record.value)
        assert stored["event_id"] and record.key == f"{stored.get('tenant_id', 'default')}|{stored['application_id']}".encode()


def mutated(body: bytes, number: random.Random) -> bytes:
    """The body with bytes changed, cut, doubled or put in."""
    changed = bytearray(body)
    for _ in range(number.randint(1, 8)):
        at = number.randrange(len(changed))
        match number.randrange(4):
            case 0:
                changed[at] = number.randrange(256)
            case 1:
                del changed[at : at + number.randint(1, 40)]
            case 2:
                changed[at:at] = changed[at : at + number.randint(1, 40)]
            case _:
                changed[at:at] = number.randbytes(number.randint(1, 10))
        changed = changed or bytearray(b"x")
    return bytes(changed)


def fresh(body: Any) -> None:
    """Brings the events to now and gives them a name."""
    for one in body if isinstance(body, list) else [body]:
        if isinstance(one, dict):
            one |= {"timestamp": EVENT["timestamp"], "application_id": "chat"}


@pytest.mark.parametrize("mode", GenerationMode)
def test_the_http_door_does_what_its_description_says(doors: Doors, mode: GenerationMode) -> None:
    """Requests as the description has them (positive), and such as it does not: each answer is one of those that it names."""
    operation = schemathesis.openapi.from_url(f"{doors.url}/openapi.json")["/api/v1/telemetry/events"]["POST"]
    seen = SEEN[f"events by the OpenAPI of HTTP, {mode.value} (schemathesis)"]

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=ROUNDS, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    def judge(case: Any) -> None:
        if mode is GenerationMode.POSITIVE:
            fresh(case.body)
        response = case.call()
        seen[str(response.status_code)] += 1
        # A schema cannot say that a time must be of this week.
        case.validate_response(response, excluded_checks=[positive_data_acceptance])

    judge()
    assert seen.total() >= min(ROUNDS, 30) and max(seen) < "500", seen


def test_mutated_bodies_are_judged() -> None:
    """As below, without the way there: many more of them."""
    number, body = random.Random(4), json.dumps([EVENT, event()]).encode()
    seen = SEEN["mutated events, without HTTP"]
    for _ in range(50 * ROUNDS):
        try:
            admitted = admit(split_events(mutated(body, number), "application/json"), OPEN, ENRICHMENT)
        except MalformedError:
            seen["unreadable"] += 1
        else:
            seen["refused" if not admitted.by_tenant else "taken in part" if admitted.rejections else "taken"] += 1
    assert len(seen) == 4, seen


@pytest.mark.parametrize("door", ["events", "traces protobuf", "traces json"])
def test_mutated_bodies_by_http(doors: Doors, door: str) -> None:
    number = random.Random(4)
    spans = export({"attributes": DIALECTS["otel"]}, {"attributes": DIALECTS["langfuse"]})
    path, kind, body = {
        "events": ("/api/v1/telemetry/events", "application/json", json.dumps([EVENT, event()]).encode()),
        "traces protobuf": ("/v1/traces", "application/x-protobuf", spans.SerializeToString()),
        "traces json": ("/v1/traces", "application/json", hex_json(spans)),
    }[door]
    seen = SEEN[f"mutated {door} by HTTP"]
    for _ in range(ROUNDS):
        seen[str(doors.http.post(path, content=mutated(body, number), headers={"content-type": kind}).status_code)] += 1
    assert max(seen) < "500" and seen["400"] > 0, seen
    assert doors.http.post(path, content=body, headers={"content-type": kind}).status_code in (200, 202)


def test_mutated_messages_by_grpc(doors: Doors) -> None:
    number = random.Random(5)
    body = pb.BatchTelemetryRequest(events=[message(), message(metric=pb.MetricData(metric_name="m", value=1))]).SerializeToString()
    with grpc.insecure_channel(doors.grpc) as channel:
        call = channel.unary_unary("/llm.sentinel.v1.TelemetryIngestion/BatchTelemetry")
        seen = SEEN["mutated messages by gRPC"]
        for _ in range(ROUNDS):
            try:
                call(mutated(body, number), timeout=30)
                seen["OK"] += 1
            except grpc.RpcError as error:
                seen[error.code().name] += 1
        assert set(seen) <= {"OK", "INVALID_ARGUMENT"} and len(seen) == 2, seen
        assert pb.BatchTelemetryResponse.FromString(call(body)).accepted_count == 2
