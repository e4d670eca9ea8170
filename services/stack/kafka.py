"""Kafka 4.3 in KRaft mode: one node that is broker and controller."""

from __future__ import annotations

import base64
import subprocess
import uuid
from pathlib import Path

from services.stack.errors import StackError
from services.stack.ports import HOST
from services.stack.service import SHORT_LIVED, Service, java_flags, log4j_flags


class Kafka(Service):
    """The broker; limits are wide enough for 6 MB telemetry records and their 12 MB dead letters."""

    name = "kafka"
    title = "Kafka"
    port_name = "kafka"

    @property
    def output_file(self) -> Path:
        return self.context.layout.logs / "kafka.out"

    @property
    def _properties(self) -> Path:
        return self.context.layout.run / "kafka.properties"

    @property
    def _data(self) -> Path:
        return self.context.layout.data / "kafka"

    @property
    def _class_path(self) -> str:
        return str(self.context.layout.cache / "kafka" / "*")

    def prepare(self) -> None:
        """Writes the properties; formats the data folder once."""
        self._properties.write_text("".join(f"{key}={value}\n" for key, value in self.settings().items()))
        if not (self._data / "meta.properties").exists():
            self._format()

    def settings(self) -> dict[str, object]:
        """The broker's properties."""
        ports = self.context.ports
        return {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@{HOST}:{ports['kafka-controller']}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"CLIENT://{HOST}:{ports['kafka']},CONTROLLER://{HOST}:{ports['kafka-controller']}",
            "advertised.listeners": f"CLIENT://{HOST}:{ports['kafka']}",
            "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "CLIENT",
            "log.dirs": self._data,
            "num.partitions": 1,
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "transaction.state.log.num.partitions": 4,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            "share.coordinator.state.topic.num.partitions": 1,
            "group.initial.rebalance.delay.ms": 0,
            "auto.create.topics.enable": "false",
            "transaction.max.timeout.ms": 900_000,
            "message.max.bytes": 12_582_912,
            "replica.fetch.max.bytes": 12_582_912,
            "log.retention.hours": 24,
            "log.segment.bytes": 134_217_728,
            "num.network.threads": 2,
            "num.io.threads": 4,
            "log.cleaner.threads": 1,
            "log.cleaner.dedupe.buffer.size": 16_777_216,
        }

    def _format(self) -> None:
        # Letters first: the tool takes an id that begins with a dash for an option.
        cluster_id = "k" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]
        command = [
            self.context.java,
            "-Xmx128m",
            *SHORT_LIVED,
            *java_flags(self.context),
            *log4j_flags(self.log_file),
            "-cp",
            self._class_path,
        ]
        command += ["kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", cluster_id, "-c", str(self._properties)]
        done = subprocess.run(command, env=self.environment(), capture_output=True, text=True, timeout=60, check=False)
        if done.returncode != 0:
            reason = ((done.stderr or done.stdout).strip().splitlines() or ["no output"])[-1]
            raise StackError(f"Kafka's data folder {self._data} could not be formatted: {reason}")

    def command(self) -> list[str]:
        return [
            *(self.context.java, "-XX:+UseSerialGC", "-Xms128m", "-Xmx512m", "-XX:MaxDirectMemorySize=128m"),
            *java_flags(self.context),
            *log4j_flags(self.log_file),
            *("-cp", self._class_path, "kafka.Kafka", str(self._properties)),
        ]

    def healthy(self) -> bool:
        from confluent_kafka.admin import AdminClient

        # The client's own logger writes to stderr while the broker is not up yet.
        admin = AdminClient({"bootstrap.servers": f"{HOST}:{self.port}", "log_level": 0, "socket.timeout.ms": 2000})
        return len(admin.list_topics(timeout=2).brokers) == 1
