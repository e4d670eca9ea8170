"""The AMQP consumer with a real RabbitMQ, where one is installed."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aio_pika
import pytest

from services.gateway.service import DEAD_LETTERS
from tests.support.doors import OpenDoors, event, lines
from tests.support.kafka import Broker, free_port
from tests.support.streams import read_topic
from tests.support.waiting import wait_for

SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
QUEUE = "telemetry"


@pytest.fixture(scope="module")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if not SERVER.exists():
        pytest.skip("RabbitMQ is not installed (Debian: rabbitmq-server)")
    home, port, names = tmp_path_factory.mktemp("rabbit"), free_port(), free_port()
    environment = os.environ | {
        "HOME": str(home),
        "RABBITMQ_NODENAME": f"test{os.getpid()}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "ERL_EPMD_PORT": str(names),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_MNESIA_BASE": str(home / "data"),
        "RABBITMQ_LOG_BASE": str(home / "log"),
        "RABBITMQ_PID_FILE": str(home / "pid"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"),
        "RABBITMQ_CONF_ENV_FILE": str(home / "none"),
        "RABBITMQ_CONFIG_FILE": str(home / "rabbit"),
        "RABBITMQ_GENERATED_CONFIG_DIR": str(home / "generated"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1",
    }
    with (home / "out").open("wb") as output:
        process = subprocess.Popen([str(SERVER)], env=environment, stdout=output, stderr=output, start_new_session=True)
    url = f"amqp://guest:guest@127.0.0.1:{port}/"
    try:
        wait_for(lambda: asyncio.run(_answers(url)), 90, "RabbitMQ to start")
        yield url
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
        # Erlang's name server goes its own way, and stays while it believes that the node lives.
        wait_for(lambda: _name_server_ends(environment), 20, "epmd to end")


def _name_server_ends(environment: dict[str, str]) -> bool:
    done = subprocess.run([shutil.which("epmd") or "epmd", "-kill"], env=environment, capture_output=True, text=True, check=False)
    return "Killed" in done.stdout or "Cannot connect" in done.stdout + done.stderr


async def _answers(url: str) -> bool:
    try:
        connection = await aio_pika.connect(url, timeout=2)
    except (OSError, aio_pika.exceptions.AMQPError):
        return False
    await connection.close()
    return True


def publish(url: str, bodies: list[tuple[bytes, dict[str, Any]]]) -> None:
    async def run() -> None:
        async with await aio_pika.connect(url) as connection:
            channel = await connection.channel()
            await channel.declare_queue(QUEUE, durable=True)
            for body, properties in bodies:
                await channel.default_exchange.publish(aio_pika.Message(body, **properties), QUEUE)

    asyncio.run(run())


def left_in_queue(url: str) -> int:
    async def run() -> int:
        async with await aio_pika.connect(url) as connection:
            queue = await (await connection.channel()).declare_queue(QUEUE, durable=True, passive=True)
            return int(queue.declaration_result.message_count or 0)

    return asyncio.run(run())


def test_messages_arrive_and_bad_ones_are_buried_with_their_reason(
    rabbit: str, broker: Broker, open_doors: OpenDoors, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.topic(DEAD_LETTERS, partitions=1)
    monkeypatch.setenv("TEST_AMQP_URL", rabbit)
    good = [event() for _ in range(6)]
    bad, foreign = event(data={"status": "success"}), event(tenant_id="initech")
    publish(
        rabbit,
        [
            (json.dumps(good[0]).encode(), {}),
            (json.dumps(good[1:3]).encode(), {"content_type": "application/json"}),
            (gzip.compress(lines([good[3], bad, good[4], foreign])), {"content_type": "application/x-ndjson", "content_encoding": "gzip"}),
            (b"[not JSON at all", {}),
            (b"\x1f\x8bcut", {"content_encoding": "gzip"}),
        ],
    )
    doors = open_doors({"protocols": {"amqp": {"enabled": True, "url": "${TEST_AMQP_URL}", "queue": QUEUE, "tenant": "acme"}}})
    wait_for(
        lambda: doors.metric('sentinel_gateway_events_total{door="amqp",outcome="accepted"}'), 30, "events by AMQP", until=lambda n: n == 5
    )
    publish(rabbit, [(json.dumps(good[5]).encode(), {})])
    wait_for(lambda: len(doors.events()), 30, "the sixth event", until=lambda found: found == 6)
    assert sorted(one["event_id"] for one in doors.events()) == sorted(one["event_id"] for one in good)
    assert {one["tenant_id"] for one in doors.events()} == {"acme"}
    letters = wait_for(lambda: read_topic(broker.bootstrap, DEAD_LETTERS), 30, "dead letters", until=lambda found: len(found) == 4)
    by_path = {(letter := record.json())["path"]: letter for record in letters}
    assert {"$.data.latency_ms", "$.tenant_id", "(body)"} == set(by_path)
    assert json.loads(base64.b64decode(by_path["$.data.latency_ms"]["original_base64"])) == bad
    assert by_path["$.data.latency_ms"]["topic"] == f"amqp:{QUEUE}"
    assert left_in_queue(rabbit) == 0


def test_without_kafka_messages_stay_in_the_queue(rabbit: str, lonely_doors: OpenDoors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_AMQP_URL", rabbit)
    publish(rabbit, [(json.dumps(event()).encode(), {})])
    amqp = {"enabled": True, "url": "${TEST_AMQP_URL}", "queue": QUEUE}
    doors = lonely_doors({"protocols": {"amqp": amqp}, "buffer": {"overflow": {"enabled": False}}})
    wait_for(lambda: doors.metric('sentinel_gateway_events_total{door="amqp",outcome="unavailable"}'), 30, "the message to be tried")
    doors.close()
    wait_for(lambda: left_in_queue(rabbit), 30, "the message to come back to the queue", until=lambda found: found == 1)
