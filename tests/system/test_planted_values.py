"""Personal data of every kind, sent through every door for tenants of every policy: nothing that keeps or tells anything holds one value of it.

A queue is one tenant's. The stack's gateway reads one of them; the queues of the other policies have a gateway each (`sentinel gateway`).

That the search would find them is shown by harmless words of the same texts, and by hand: with SENTINEL_TEST_PRIVACY=off the tenants' policies are off,
and the test must fail with all kinds.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import httpx
import psutil
import pytest

from services.stack.state import require_state
from tests.support import planted
from tests.support.configuration import configuration
from tests.support.gateways import GatewayProcess
from tests.support.planted import Plants, Search
from tests.support.rabbit import SERVER, publish, running_rabbit
from tests.support.receivers import Receivers
from tests.support.stack import Stack
from tests.support.waiting import wait_for

pytestmark = pytest.mark.stack

POLICIES = ("mask", "hash", "drop")
IN_FORCE = os.environ.get("SENTINEL_TEST_PRIVACY")
TENANTS = {policy: f"planted-{policy}-{uuid4().hex[:8]}" for policy in POLICIES}
DOORS = ("http", "grpc", "otlp-http", "otlp-grpc")
JOBS = ("ingestion", "indexing")
AMQP = "amqp"
QUEUES = {policy: f"planted-{policy}" for policy in POLICIES}
"""The stack's own gateway reads that of the first policy."""


class Outcome(NamedTuple):
    """What was planted by policy, and where the search met what."""

    plants: dict[str, Plants]
    found: dict[bytes, set[str]]

    def places(self, word: str) -> set[str]:
        """Where a harmless word was met."""
        return self.found.get(word.encode(), set())


def application(policy: str, door: str) -> str:
    return f"{door}-of-{TENANTS[policy]}"


def doors_with(queue: str | None) -> tuple[str, ...]:
    """The doors that are sent to: AMQP where there is a broker for it."""
    return (*DOORS, AMQP) if queue is not None else DOORS


@pytest.fixture(scope="module")
def queue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str | None]:
    """The address of a RabbitMQ; None where it is not installed."""
    with ExitStack() as until_end:
        yield until_end.enter_context(running_rabbit(tmp_path_factory.mktemp("rabbit"))) if SERVER.exists() else None


@pytest.fixture(scope="module")
def outcome(stack: Stack, receivers: Receivers, queue: str | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    """Sends everything, waits until everybody was told, and searches."""
    folder = tmp_path_factory.mktemp("planted")
    (folder / "hash-key").write_text(uuid4().hex)
    if queue is not None:
        (folder / "queue").write_text(queue)
    with ExitStack() as until_end:
        with ThreadPoolExecutor() as beside:
            submitted: Future[Any] = beside.submit(lambda: list(map(stack.ensure, JOBS)))
            others = [beside.submit(_gateway, stack, policy, queue, folder, until_end) for policy in POLICIES[1:] if queue is not None]
            _configure(stack, receivers, queue, folder)
            for started in (submitted, *others):
                started.result()
        yield _planted_and_searched(stack, receivers, queue, folder)
    with ThreadPoolExecutor() as beside:
        list(beside.map(lambda job: stack.sentinel("jobs", "cancel", job, timeout_s=120, ok=False), JOBS))


def _planted_and_searched(stack: Stack, receivers: Receivers, queue: str | None, folder: Path) -> Outcome:
    since = planted.topic_ends(stack.endpoints.kafka_bootstrap)
    chance = random.Random(uuid4().int)
    plants = {policy: planted.plants(chance) for policy in POLICIES}
    _send(stack, plants, queue)
    _until_told(stack, receivers, doors_with(queue))
    harmless = [own.marker for own in plants.values()] + [application(policy, door) for policy in POLICIES for door in (*DOORS, AMQP)]
    search = Search([*(word.encode() for word in harmless), *(needle for own in plants.values() for needle in own.needles())])
    endpoints, layout = stack.endpoints, stack.layout
    planted.search_topics(search, endpoints.kafka_bootstrap, since)
    planted.search_postgres(search, endpoints.postgres_dsn)
    planted.search_opensearch(search, endpoints.opensearch_url)
    planted.search_files(search, (layout.logs, layout.run, layout.data / "overflow", layout.data / "checkpoints", folder))
    for call in receivers.calls:
        search.look(json.dumps(call, ensure_ascii=False).encode(), "webhook")
    for mail in receivers.mails:
        for part in mail.walk():
            search.look(part.get_payload(decode=True) or b"", "mail")
        search.look(str(mail["Subject"]).encode(), "mail")
    return Outcome(plants, search.found)


def _doors_of(policy: str, queue: str | None, folder: Path) -> dict[str, Any]:
    """Sections of a gateway's configuration: the tenants' policies, and the queue of one of them."""
    key, address = folder / "hash-key", folder / "queue"
    ingestion: dict[str, Any] = {"privacy": {"hashKeyFile": str(key)}}
    if queue is not None:
        ingestion["protocols"] = {
            "amqp": {"enabled": True, "urlFile": str(address), "queue": QUEUES[policy], "tenant": TENANTS[policy]},
        }
    tenants = {TENANTS[one]: {"privacy": {"action": IN_FORCE or one}} for one in POLICIES}
    return {"tenants": tenants, "ingestion": ingestion}


def _gateway(stack: Stack, policy: str, queue: str | None, folder: Path, until_end: ExitStack) -> None:
    """A gateway beside the stack's that reads the queue of a policy."""
    gateway = GatewayProcess(stack.endpoints.kafka_bootstrap, folder / policy, json.dumps(_doors_of(policy, queue, folder)))
    until_end.callback(gateway.stop)


def _configure(stack: Stack, receivers: Receivers, queue: str | None, folder: Path) -> None:
    """The policies are in force in the jobs, and in a gateway that was started anew."""
    config = configuration(receivers) | _doors_of(POLICIES[0], queue, folder)
    config["detection"]["detectors"]["items"][1]["config"]["patterns"] = [{"id": "quoted", "pattern": planted.QUOTED}]
    stack.apply(config, "planted.yaml")
    before = stack.pid("gateway")
    psutil.Process(before).terminate()

    def started_anew() -> bool:
        state = require_state(stack.layout).services["gateway"]
        return state.process is not None and state.process.pid != before and state.status == "healthy"

    wait_for(started_anew, 60, "the gateway to start with the new configuration")


def _send(stack: Stack, plants: dict[str, Plants], queue: str | None) -> None:
    ports = require_state(stack.layout).ports
    at = {door: f"127.0.0.1:{ports[f'gateway-{door}']}" for door in DOORS}
    assert httpx.get(f"http://{at['http']}/readyz").text == "ok\n"
    for policy, own in plants.items():
        tenant, now_ms = TENANTS[policy], round(time.time() * 1000)
        planted.by_http(f"http://{at['http']}", planted.events(own, tenant, application(policy, "http"), now_ms, 0))
        planted.by_grpc(at["grpc"], planted.events(own, tenant, application(policy, "grpc"), now_ms, 1), own)
        planted.by_otlp_http(f"http://{at['otlp-http']}", planted.spans(own, tenant, application(policy, "otlp-http"), now_ms, 2))
        planted.by_otlp_grpc(at["otlp-grpc"], planted.spans(own, tenant, application(policy, "otlp-grpc"), now_ms, 3))
        if queue is not None:
            sent = planted.events(own, tenant, application(policy, AMQP), now_ms, 4)
            publish(queue, QUEUES[policy], [(json.dumps(sent).encode(), {"content_type": "application/json"})])


def _until_told(stack: Stack, receivers: Receivers, doors: Sequence[str]) -> None:
    """Each application's slow call, and the attack where its text was not dropped, is an anomaly that was indexed and told."""
    applications = {application(policy, door) for policy in POLICIES for door in doors}
    wanted = {(one, "slow-call") for one in applications}
    wanted |= {(one, "prompt-injection") for one in applications if IN_FORCE or TENANTS["drop"] not in one}

    def told() -> set[tuple[str, str]]:
        labels = [call["commonLabels"] for call in receivers.calls]
        return {(one["application_id"], one["detector_id"]) for one in labels if one.get("application_id") in applications}

    wait_for(lambda: wanted - told(), 120, "every anomaly to be told", until=lambda missing: not missing)
    critical = {one for one, detector in wanted if detector == "prompt-injection"}

    def mailed() -> set[str]:
        texts = [mail.as_string() for mail in receivers.mails]
        return {one for one in critical if any(one in text for text in texts)}

    wait_for(lambda: critical - mailed(), 60, "mails of the critical ones", until=lambda missing: not missing)

    def indexed() -> set[str]:
        search = Search([one.encode() for one in applications])
        planted.search_opensearch(search, stack.endpoints.opensearch_url)
        return {one.decode() for one in search.found}

    wait_for(lambda: applications - indexed(), 60, "every anomaly to be indexed", until=lambda missing: not missing, pause_s=1.0)

    def stored() -> set[str]:
        values = [record.value for record in stack.topic("llm-events")]
        return {one for one in applications if any(one.encode() in value for value in values)}

    wait_for(lambda: applications - stored(), 60, "every application in llm-events", until=lambda missing: not missing, pause_s=1.0)


@pytest.mark.parametrize("policy", POLICIES)
def test_no_planted_value_is_anywhere(outcome: Outcome, policy: str) -> None:
    needles = outcome.plants[policy].needles()
    leaks: dict[str, set[str]] = {}
    for needle in needles.keys() & outcome.found.keys():
        leaks.setdefault(needles[needle], set()).update(outcome.found[needle])
    assert not leaks, f"{len(leaks)} of {len(set(needles.values()))} kinds: {leaks}"


def test_the_search_finds_what_may_be_there(outcome: Outcome, queue: str | None) -> None:
    """Every application everywhere; a word from the midst of the texts wherever a text goes, but for the tenant whose texts are dropped."""
    told = {"topic llm-anomalies", "topic llm-alerts", "topic notify-hook", "table sentinel.anomalies", "table sentinel.alerts"}
    told |= {"table sentinel.notifications", "webhook"}
    for policy in POLICIES:
        for door in doors_with(queue):
            places = outcome.places(application(policy, door))
            assert told | {"topic llm-telemetry", "topic llm-events"} <= places, (policy, door, places)
            assert any(place.startswith("index sentinel-anomalies") for place in places)
        places = outcome.places(outcome.plants[policy].marker)
        if policy != "drop":
            assert told | {"topic llm-telemetry", "topic llm-events", "topic notify-mail", "mail"} <= places, (policy, places)
        elif IN_FORCE is None:
            assert not places


@pytest.mark.parametrize("policy", POLICIES)
def test_by_queue_as_well(outcome: Outcome, queue: str | None, policy: str) -> None:
    if queue is None:
        pytest.skip("RabbitMQ is not installed (Debian: rabbitmq-server)")
    assert {"topic llm-telemetry", "topic llm-anomalies", "webhook"} <= outcome.places(application(policy, AMQP))
