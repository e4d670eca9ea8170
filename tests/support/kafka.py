"""One Kafka of its own for tests that need no more of the stack."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from services.stack.errors import StackError
from services.stack.jars import cache_dir, fetch_all, link_class_path, read_lock
from services.stack.java import java_home
from services.stack.kafka import Kafka
from services.stack.paths import Layout
from services.stack.service import Context


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Broker:
    """A broker that can be killed and started again. Raises StackError where its jars cannot be had."""

    def __init__(self, home: Path, kind: type[Kafka] = Kafka, more_ports: tuple[str, ...] = ()) -> None:
        layout = Layout(home)
        layout.create()
        jars = read_lock()["kafka"]
        fetch_all(jars, cache_dir(), None)
        link_class_path(jars, cache_dir(), layout.cache / "kafka")
        ports = {name: free_port() for name in ("kafka", "kafka-controller", *more_ports)}
        self.service = kind(Context(layout, ports, java_home()))
        self.service.prepare()
        self.bootstrap = f"127.0.0.1:{self.service.port}"
        self.process = self._spawn()
        self.wait()

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self.service.output_file.open("ab") as output:
            return subprocess.Popen(self.service.command(), env=self.service.environment(), stdout=output, stderr=output)

    def wait(self) -> None:
        """Until it answers."""
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            try:
                if self.service.healthy():
                    return
            except Exception:
                time.sleep(0.3)
        raise AssertionError(f"Kafka did not become healthy: {self.service.output_file.read_text()[-500:]}")

    def topic(self, name: str, partitions: int = 4) -> str:
        """Makes a topic."""
        new = NewTopic(name, partitions, 1, config={"max.message.bytes": "6291456"})
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        for future in admin.create_topics([new]).values():
            future.result(30)
        return name

    def kill(self) -> None:
        """As a power cut does it."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def restart(self) -> None:
        """Starts it again on the same port and data."""
        self.process = self._spawn()
        self.wait()


Started = TypeVar("Started", bound=Broker)


@contextmanager
def running(kind: type[Started], home: Path) -> Iterator[Started]:
    """A broker until the block ends; skips the test where the jars cannot be had."""
    try:
        started = kind(home)
    except StackError as error:
        pytest.skip(f"the jars of Kafka cannot be had here: {error}")
    try:
        yield started
    finally:
        started.kill()
