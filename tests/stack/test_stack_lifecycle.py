"""One real stack in a home of its own, beside whatever else runs: up, join, status, a killed broker, down."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from services.stack.processes import tagged

pytestmark = [pytest.mark.stack, pytest.mark.timeout(420)]


class Cli:
    """The `sentinel` command for one home."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def __call__(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "services.cli.main", *arguments],
            env=os.environ | {"SENTINEL_HOME": str(self.home)},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == code, done.stderr
        return done

    def status(self) -> dict[str, Any]:
        return json.loads(self("status", "-o", "json").stdout)

    def service(self, name: str) -> dict[str, Any]:
        return next(one for one in self.status()["services"] if one["name"] == name)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory):
    cli = Cli(tmp_path_factory.mktemp("stack") / "home")
    try:
        cli("up", "--no-dispatcher")
        yield cli
    finally:
        cli("down")


def test_every_service_is_healthy_and_measured(stack: Cli) -> None:
    status = stack.status()
    core = {one["name"]: one for one in status["services"]}
    assert {"supervisor", "kafka", "postgres", "opensearch", "jobmanager", "taskmanager"} <= core.keys()
    assert all(one["health"] == "healthy" and one["memory_bytes"] > 0 for one in core.values()), core
    assert status["memory_bytes"] < 3.5 * 2**30
    assert oct((stack.home / "run" / "postgres.password").stat().st_mode & 0o777) == "0o600"


def test_everything_listens_on_loopback_only(stack: Cli) -> None:
    addresses = set()
    for process in tagged(stack.home):
        with contextlib.suppress(psutil.NoSuchProcess):
            addresses |= {one.laddr.ip for one in process.net_connections("inet") if one.status == psutil.CONN_LISTEN}
    assert addresses <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}


def test_a_second_up_joins_the_first(stack: Cli) -> None:
    before = {one["name"]: one["pid"] for one in stack.status()["services"]}
    assert "joining" in stack("up", "--no-dispatcher").stderr
    assert {one["name"]: one["pid"] for one in stack.status()["services"]} == before


def test_a_killed_broker_comes_back_with_its_data(stack: Cli) -> None:
    from confluent_kafka import Consumer, Producer

    kafka = stack.service("kafka")
    bootstrap = f"127.0.0.1:{kafka['port']}"
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all"})
    producer.produce("sentinel-control", b"kept")
    assert producer.flush(20) == 0
    os.kill(kafka["pid"], signal.SIGKILL)
    deadline = time.monotonic() + 90
    while (now := stack.service("kafka"))["pid"] in (None, kafka["pid"]) or now["health"] != "healthy":
        assert time.monotonic() < deadline, now
        time.sleep(0.5)
    assert now["restarts"] == 1 and now["port"] == kafka["port"]
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "test", "auto.offset.reset": "earliest"})
    consumer.subscribe(["sentinel-control"])
    messages = (consumer.poll(1) for _ in range(60))
    values = (message.value() for message in messages if message is not None and message.error() is None)
    assert next(values, None) == b"kept"
    consumer.close()


def test_down_leaves_no_process_and_no_temporary_file(stack: Cli) -> None:
    pids = [one["pid"] for one in stack.status()["services"]]
    stack("down")
    assert not tagged(stack.home)
    deadline = time.monotonic() + 5  # the system may take a moment to forget an ended process
    while left := [pid for pid in pids if pid and psutil.pid_exists(pid)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
    kept = {path.name for path in (stack.home / "run").iterdir()}
    assert not kept & {"tmp", "state.json", "flink", "client"}, kept
    assert "no stack is running" in stack("status", code=1).stdout
