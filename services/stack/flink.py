"""A real Flink cluster: one JobManager and one TaskManager process, started directly so that the supervisor owns their pids.

Flink's own scripts would run two helper JVMs a start to compute memory sizes; `flink-conf/config.yaml` gives every size instead.
"""

from __future__ import annotations

import uuid
from abc import abstractmethod
from pathlib import Path

from services.stack import flink_conf, flink_jars
from services.stack.class_archive import ClassArchive, watched_log
from services.stack.flink_rest import FlinkRest
from services.stack.ports import HOST
from services.stack.service import Service, java_flags, log4j_flags


class _FlinkProcess(Service):
    main_class: str
    java_options_key: str
    stop_timeout_s = 8.0

    @property
    def output_file(self) -> Path:
        return self.context.layout.logs / f"{self.name}.out"

    @property
    def rest(self) -> FlinkRest:
        """Client of the JobManager."""
        return FlinkRest(f"http://{HOST}:{self.context.ports['flink']}")

    @property
    def _conf(self) -> Path:
        return self.context.layout.flink_conf / self.name

    def _config(self) -> flink_conf.Config:
        return flink_conf.cluster_config(self.context)

    def prepare(self) -> None:
        flink_jars.link_lib(self.context)
        flink_conf.write(self._config(), self._conf)

    def environment(self) -> dict[str, str]:
        return flink_conf.flink_environment(self.context, self._conf)

    @abstractmethod
    def _memory_flags(self, config: flink_conf.Config) -> list[str]:
        """Heap, direct memory and metaspace, from the configuration."""

    def command(self) -> list[str]:
        config, archive = self._config(), ClassArchive.of(self.context)
        return [
            self.context.java,
            *self._memory_flags(config),
            *java_flags(self.context),
            *str(config["env.java.opts.all"]).split(),
            *str(config.get(self.java_options_key, "")).split(),
            *log4j_flags(self.log_file),
            *(archive.flags() or archive.watching_flags(watched_log(self.context, self.name))),
            *("-cp", flink_jars.joined_class_path(self.context), self.main_class, "--configDir", str(self._conf)),
        ]


class JobManager(_FlinkProcess):
    """Dispatcher, resource manager, web page and REST API."""

    name = "jobmanager"
    title = "Flink JobManager"
    port_name = "flink"
    main_class = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
    java_options_key = "env.java.opts.jobmanager"

    def _memory_flags(self, config: flink_conf.Config) -> list[str]:
        def size(part: str) -> str:
            return f"{flink_conf.megabytes(config, f'jobmanager.memory.{part}.size')}m"

        heap, direct, metaspace = size("heap"), size("off-heap"), size("jvm-metaspace")
        return ["-Xms96m", f"-Xmx{heap}", f"-XX:MaxDirectMemorySize={direct}", f"-XX:MaxMetaspaceSize={metaspace}"]

    def healthy(self) -> bool:
        return "flink-version" in self.rest.overview()


class TaskManager(_FlinkProcess):
    """Runs the tasks; the Python workers are its children."""

    name = "taskmanager"
    title = "Flink TaskManager"
    main_class = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
    _id = ""
    java_options_key = "env.java.opts.taskmanager"

    def prepare(self) -> None:
        """A new id at every start: the JobManager goes on listing a dead TaskManager for some seconds."""
        self._id = f"taskmanager-{uuid.uuid4().hex[:8]}"
        super().prepare()

    def _config(self) -> flink_conf.Config:
        return super()._config() | {"taskmanager.resource-id": self._id}

    def _memory_flags(self, config: flink_conf.Config) -> list[str]:
        def size(*parts: str) -> str:
            return f"{sum(flink_conf.megabytes(config, f'taskmanager.memory.{part}') for part in parts)}m"

        heap = size("framework.heap.size", "task.heap.size")
        direct = size("framework.off-heap.size", "task.off-heap.size", "network.max")
        # The whole heap from the start, as Flink's own scripts give it: a heap that grows clamps the young generation to a third of what it has
        # by then. Metaspace likewise: growing it means full collections, while the job starts.
        metaspace = size("jvm-metaspace.size")
        sizes = [f"-Xms{heap}", f"-Xmx{heap}", f"-XX:MetaspaceSize={metaspace}", f"-XX:MaxMetaspaceSize={metaspace}"]
        return [*sizes, f"-XX:MaxDirectMemorySize={direct}"]

    def healthy(self) -> bool:
        return self._id in self.rest.task_managers()
