"""The background process of a stack: starts and watches the services, keeps the wanted jobs running.

Started by `sentinel up` as `python -m services.stack.supervisor HOME PORTS_JSON`; ended by SIGTERM. It talks to the command line through
files only: it writes `run/state.json`, and reads `run/jobs.json` and `run/services.json`.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
from logging.handlers import RotatingFileHandler
from pathlib import Path

from services.stack.class_archive import ArchiveMaker
from services.stack.errors import StackError
from services.stack.flink import JobManager, TaskManager
from services.stack.java import java_home
from services.stack.job_keeper import JobKeeper
from services.stack.kafka import Kafka
from services.stack.locks import file_lock
from services.stack.opensearch import OpenSearch
from services.stack.own_processes import Dispatcher, Gateway, Pulse
from services.stack.paths import Layout
from services.stack.ports import WISHES
from services.stack.postgres import Postgres
from services.stack.processes import ProcessRef
from services.stack.python_forks import ForkServer
from services.stack.reservations import hold
from services.stack.runner import Runner
from services.stack.service import Context, Service
from services.stack.state import State, write_atomically
from services.stack.wanted import wanted_services

log = logging.getLogger(__name__)

CORE: tuple[type[Service], ...] = (Kafka, Postgres, OpenSearch, JobManager, TaskManager)
OPTIONAL: tuple[type[Service], ...] = (Dispatcher, Pulse, Gateway)
STOP_ORDER = (("gateway",), ("dispatcher", "pulse"), ("jobmanager", "taskmanager"), ("kafka", "postgres", "opensearch", "forkserver"))


class Supervisor:
    """Owns all runners of one home and its state file."""

    def __init__(self, layout: Layout, ports: dict[str, int]) -> None:
        self._layout = layout
        self._context = Context(layout, ports, java_home())
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._runners: dict[str, Runner] = {}
        documented = {wish.service: wish.default for wish in WISHES}
        shown = ("kafka", "postgres", "opensearch", "flink", "gateway-http")
        moved = {name: documented[name] for name in shown if ports[name] != documented[name]}
        self._state = State(supervisor=ProcessRef.of(os.getpid()), started=time.time(), ports=ports, moved=moved, services={})
        self._keeper = JobKeeper(layout, self._context)
        self._archive_maker = ArchiveMaker(self._context)

    def run(self) -> None:
        """Returns after SIGTERM or SIGINT, when every child has ended."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop.set())
        for kind in CORE:
            self._add(kind)
        self._add(ForkServer)
        for runner in list(self._runners.values()):
            runner.start()
        try:
            while not self._stop.wait(0.2):
                self._tick()
        finally:
            self._shut_down()

    def _add(self, kind: type[Service]) -> Runner:
        runner = Runner(kind(self._context), self._publish, self._on_death, self._runners)
        with self._lock:
            self._runners[runner.service.name] = runner
        return runner

    def _tick(self) -> None:
        core = [self._runners[kind.name] for kind in CORE]
        if self._state.phase == "starting":
            failed = [runner.state.detail for runner in core if runner.state.status == "failed"]
            if failed:
                self._phase("failed", failed[0])
            elif all(runner.state.status == "healthy" for runner in core) and self._runners[ForkServer.name].state.status != "starting":
                self._phase("ready")
        if self._state.phase == "ready":
            self._follow_optional()
            flink = [self._runners["jobmanager"], self._runners["taskmanager"]]
            self._keeper.look(flink_healthy=all(runner.state.status == "healthy" for runner in flink))
            self._archive_maker.look()
            if self._keeper.errors != self._state.job_errors:
                self._publish()

    def _follow_optional(self) -> None:
        """Starts and stops the services that `run/services.json` names."""
        wanted = wanted_services(self._layout)
        for kind in OPTIONAL:
            runner = self._runners.get(kind.name)
            if kind.name in wanted and runner is None:
                self._add(kind).start()
            elif kind.name not in wanted and runner is not None:
                runner.stop()
                with self._lock:
                    del self._runners[kind.name]
                self._publish()

    def _on_death(self, name: str) -> None:
        """Without a high-availability store a new JobManager knows nothing of old TaskManagers: they must go with it."""
        log.error("%s died", name)
        if name == "jobmanager":
            self._runners["taskmanager"].kill()
            self._keeper.forget()

    def _phase(self, phase: str, message: str = "") -> None:
        with self._lock:
            self._state = self._state.model_copy(update={"phase": phase, "message": message})
        log.info("phase %s %s", phase, message)
        self._publish()

    def _publish(self) -> None:
        with self._lock:
            self._state.services = {name: runner.state for name, runner in self._runners.items()}
            self._state.job_errors = dict(self._keeper.errors)
            write_atomically(self._layout.state_file, self._state.model_dump_json(indent=1))

    def _shut_down(self) -> None:
        self._phase("stopping")
        self._keeper.stop()
        self._archive_maker.stop()
        for group in STOP_ORDER:
            threads = [threading.Thread(target=self._runners[name].stop) for name in group if name in self._runners]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        log.info("stopped")


def main() -> None:
    """Entry point; arguments: home folder, JSON of the chosen ports."""
    layout, ports = Layout(Path(sys.argv[1])), json.loads(sys.argv[2])
    layout.create()
    handler = RotatingFileHandler(layout.logs / "supervisor.log", maxBytes=5_000_000, backupCount=1)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", handlers=[handler])
    try:
        with file_lock(layout.run / "supervisor.lock", "supervising this stack", 1):
            hold(ports)
            Supervisor(layout, ports).run()
    except StackError as error:
        log.error("%s", error)
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
