"""A real RabbitMQ, where one is installed: a broker of its own on free ports, ended with the tests."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aio_pika
import pytest

from tests.support.kafka import free_port
from tests.support.waiting import wait_for

SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


@contextmanager
def running_rabbit(home: Path) -> Iterator[str]:
    """Its address. Skips the test where RabbitMQ is not installed."""
    if not SERVER.exists():
        pytest.skip("RabbitMQ is not installed (Debian: rabbitmq-server)")
    port, names = free_port(), free_port()
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


def publish(url: str, queue: str, bodies: list[tuple[bytes, dict[str, Any]]]) -> None:
    """Sends messages, each a body and its properties, to a durable queue."""

    async def run() -> None:
        async with await aio_pika.connect(url) as connection:
            channel = await connection.channel()
            await channel.declare_queue(queue, durable=True)
            for body, properties in bodies:
                await channel.default_exchange.publish(aio_pika.Message(body, **properties), queue)

    asyncio.run(run())


def left_in_queue(url: str, name: str) -> int:
    """Messages that wait in the queue."""

    async def run() -> int:
        async with await aio_pika.connect(url) as connection:
            queue = await (await connection.channel()).declare_queue(name, durable=True, passive=True)
            return int(queue.declaration_result.message_count or 0)

    return asyncio.run(run())
