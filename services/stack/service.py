"""What the supervisor needs to know about a service that it runs."""

from __future__ import annotations

import os
import signal
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from services.stack.paths import Layout, project_root
from services.stack.processes import TAG
from services.stack.state import endpoints_of


@dataclass(frozen=True)
class Context:
    """What every service is built from."""

    layout: Layout
    ports: dict[str, int]
    java_home: Path

    @property
    def java(self) -> str:
        """The java executable."""
        return str(self.java_home / "bin" / "java")

    def environment(self) -> dict[str, str]:
        """Environment of a child: the caller's, with the stack's tag, folders and Java.

        Java and Python tool variables of the caller are dropped: they would change or break the children.
        """
        python_path = [str(project_root()), *filter(None, [os.environ.get("PYTHONPATH")])]
        unwanted = ("JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "CLASSPATH", "PYTHONHOME", "PYTHONSTARTUP", "FLINK_HOME")
        environment = {name: value for name, value in os.environ.items() if name not in unwanted}
        home = str(self.layout.home)
        return environment | {
            TAG: home,
            "SENTINEL_HOME": home,
            "JAVA_HOME": str(self.java_home),
            "TMPDIR": str(self.layout.tmp),
            "PYTHONPATH": os.pathsep.join(python_path),
            **self._endpoints(),
        }

    def _endpoints(self) -> dict[str, str]:
        """Endpoints as variables, for topologies and their Python workers, which do not import `services`."""
        if not self.layout.password_file.exists():
            return {}
        endpoints = endpoints_of(self.layout, self.ports)
        # A caller with a login at a Kafka of his own means that one; the stack's own broker has none.
        own_kafka = os.environ.get("SENTINEL_KAFKA_SECURITY_PROTOCOL", "PLAINTEXT") != "PLAINTEXT"
        kafka = os.environ.get("SENTINEL_KAFKA_BOOTSTRAP") if own_kafka else None
        return {
            "SENTINEL_KAFKA_BOOTSTRAP": kafka or endpoints.kafka_bootstrap,
            "SENTINEL_POSTGRES_DSN": endpoints.postgres_dsn,
            "SENTINEL_JDBC_URL": endpoints.jdbc_url,
            "SENTINEL_JDBC_USER": endpoints.jdbc_user,
            "SENTINEL_JDBC_PASSWORD": endpoints.jdbc_password,
            "SENTINEL_OPENSEARCH_URL": endpoints.opensearch_url,
        }


class Service(ABC):
    """One child process: how to prepare, start, probe and stop it."""

    name: str
    title: str
    port_name: str | None = None
    after: tuple[str, ...] = ()
    """Services that must be healthy before the first start."""
    ready_timeout_s = 90.0
    stop_signal: int = signal.SIGTERM
    stop_timeout_s = 15.0
    needed = True
    """Whether `up` fails when this service does not become healthy."""

    def __init__(self, context: Context) -> None:
        self.context = context

    @property
    def port(self) -> int | None:
        """The service's main port."""
        return self.context.ports[self.port_name] if self.port_name else None

    @property
    def log_file(self) -> Path:
        """Where the service (or its stdout) logs."""
        return self.context.layout.logs / f"{self.name}.log"

    @property
    def output_file(self) -> Path:
        """Where the child's stdout and stderr go: the log itself unless the service writes a log of its own."""
        return self.log_file

    def prepare(self) -> None:
        """Work before every start (format, render configuration); raises StackError."""
        return

    @abstractmethod
    def command(self) -> list[str]:
        """Command line of the child."""

    def environment(self) -> dict[str, str]:
        """Environment of the child."""
        return self.context.environment()

    @property
    def user(self) -> str | None:
        """System user to run as, when not the caller's."""
        return None

    @abstractmethod
    def healthy(self) -> bool:
        """One probe, answered within about 2 seconds; exceptions count as unhealthy."""


SHORT_LIVED = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""Flags of a JVM that lives for seconds: the optimising compiler would cost more than it gains."""


def java_flags(context: Context) -> list[str]:
    """Flags of every JVM of the stack: nothing is written outside its home, and times are UTC."""
    return [
        "-XX:-UsePerfData",
        f"-Djava.io.tmpdir={context.layout.tmp}",
        "-Djava.net.preferIPv4Stack=true",
        "-Dfile.encoding=UTF-8",
        "-Duser.timezone=UTC",
    ]


def log4j_flags(log_file: Path) -> list[str]:
    """Log4j 2 flags for a JVM that logs into `log_file`, rolled at 20 MB."""
    return [f"-Dlog.file={log_file}", f"-Dlog4j.configurationFile=file:{project_root() / 'flink-conf' / 'log4j.properties'}"]
