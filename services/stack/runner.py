"""One thread a service: starts it, waits until it is healthy, watches it, restarts it with growing pauses."""

from __future__ import annotations

import logging
import pwd
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from services.stack.errors import StackError
from services.stack.processes import ProcessRef, signal_group
from services.stack.service import Service
from services.stack.state import ServiceState, ServiceStatus

log = logging.getLogger(__name__)

BACKOFF_S = (0.5, 1, 2, 4, 8, 15, 30)
MAX_RESTARTS = 10
WINDOW_S = 600.0
"""More than MAX_RESTARTS within this time, and the service is given up."""
PROBE_EVERY_S = 5.0


class Runner(threading.Thread):
    """Owns one child process. `state` is what the outside sees; `changed` is called after every change of it."""

    def __init__(self, service: Service, changed: Callable[[], None], died: Callable[[str], None], others: dict[str, Runner]) -> None:
        super().__init__(name=service.name, daemon=True)
        self.service = service
        self.state = ServiceState(port=service.port)
        self._changed, self._died, self._others = changed, died, others
        self._stopping = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._deaths: deque[float] = deque()

    def run(self) -> None:
        """Thread body; ends after `stop`, or when the service is given up."""
        try:
            while not self._stopping.is_set() and any(self._others[name].state.status != "healthy" for name in self.service.after):
                self._stopping.wait(0.1)
            while not self._stopping.is_set() and self._run_once():
                pass
        except Exception as error:
            log.exception("%s", self.service.name)
            self._set("failed", detail=str(error) if isinstance(error, StackError) else f"{self.service.title}: {error!r}")

    def stop(self) -> None:
        """Ends the child: first politely, then by force. Returns when it is gone."""
        self._stopping.set()
        child = self._child
        if child is not None and child.poll() is None:
            child.send_signal(self.service.stop_signal)
            try:
                child.wait(self.service.stop_timeout_s)
            except subprocess.TimeoutExpired:
                log.warning("%s did not end within %.0f s: killed", self.service.name, self.service.stop_timeout_s)
        self.kill()
        if child is not None:
            child.wait()
        if self.is_alive() and threading.current_thread() is not self:
            self.join(10)
            if self._child is not child:
                # Started while it was told to stop.
                self.kill()
        self._set("stopped")

    def kill(self) -> None:
        """Kills the child's whole group, so that no grandchild (a Python worker) outlives it."""
        if self.state.process is not None:
            signal_group(self.state.process, signal.SIGKILL)

    def _run_once(self) -> bool:
        """One life of the child. Returns whether to start another."""
        first = self.state.healthy_since is None and not self._deaths
        self._set("starting")
        try:
            self._start()
        except (StackError, OSError) as error:
            if first:
                raise
            log.error("%s could not be started: %s", self.service.name, error)
        code = self._watch(first)
        if self._stopping.is_set():
            # `stop` ends the child: politely, and by force only when that has not helped.
            return False
        self.kill()
        if self.state.status == "failed":
            return False
        self._died(self.service.name)
        if first and self.state.healthy_since is None and self.service.needed:
            self._set("failed", detail=f"{self.service.title} ended with code {code} before it was ready; {self._last_words()}.")
            return False
        return self._back_off(code)

    def _start(self) -> None:
        service = self.service
        service.prepare()
        if self._stopping.is_set():
            return
        user = service.user
        output = service.output_file
        keep_one_old(output)
        with output.open("ab") as stream:
            self._child = subprocess.Popen(
                service.command(),
                env=service.environment(),
                cwd=service.context.layout.home,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=user,
                group=pwd.getpwnam(user).pw_gid if user else None,
                extra_groups=[] if user else None,
            )
        self.state.process = ProcessRef.of(self._child.pid)
        log.info("%s started, pid %d", service.name, self._child.pid)
        self._changed()

    def _watch(self, first: bool) -> int | None:
        """Probes the child until it ends; returns its exit code, None when it could not even be started."""
        child = self._child
        if child is None:
            return None
        deadline = time.monotonic() + self.service.ready_timeout_s
        next_probe = 0.0
        while child.poll() is None and not self._stopping.is_set():
            now = time.monotonic()
            if now >= next_probe:
                healthy = self._probe()
                if healthy and self.state.status != "healthy":
                    self.state.healthy_since = time.time()
                    self._set("healthy")
                    log.info("%s is healthy", self.service.name)
                elif not healthy and self.state.status == "healthy":
                    self._set("unhealthy", detail="does not answer")
                    log.warning("%s does not answer", self.service.name)
                elif not healthy and first and self.state.status == "starting" and now > deadline:
                    limit = f"{self.service.ready_timeout_s:.0f} s"
                    self._set("failed", detail=f"{self.service.title} was not ready after {limit}; {self._last_words()}.")
                    return None
                next_probe = time.monotonic() + (PROBE_EVERY_S if self.state.status == "healthy" else 0.25)
            self._stopping.wait(0.1)
        if self._stopping.is_set():
            return None
        return child.poll()

    def _probe(self) -> bool:
        try:
            # Somebody else may answer on our port: another stack, whose data would then be taken for ours.
            port, process = self.service.port, self.state.process
            if port is not None and (process is None or not process.listens_on(port)):
                return False
            return self.service.healthy()
        except Exception as error:
            log.debug("%s: %s", self.service.name, error)
            return False

    def _back_off(self, code: int | None) -> bool:
        now = time.monotonic()
        while self._deaths and now - self._deaths[0] > WINDOW_S:
            self._deaths.popleft()
        self._deaths.append(now)
        if len(self._deaths) > MAX_RESTARTS:
            self._set("failed", detail=f"ended {len(self._deaths)} times in {WINDOW_S / 60:.0f} min, given up; {self._last_words()}")
            log.error("%s: %s", self.service.name, self.state.detail)
            return False
        pause = BACKOFF_S[min(len(self._deaths), len(BACKOFF_S)) - 1]
        self.state.restarts += 1
        self._set("restarting", detail=f"ended with code {code}, restart in {pause:g} s")
        log.warning("%s %s", self.service.name, self.state.detail)
        self._stopping.wait(pause)
        return True

    def _last_words(self) -> str:
        files = [path for path in (self.service.output_file, self.service.log_file) if path.exists() and path.stat().st_size]
        if not files:
            return f"it wrote nothing to {self.service.log_file}"
        return f"last line of {files[0]}: {last_line(files[0])}"

    def _set(self, status: ServiceStatus, detail: str = "") -> None:
        self.state.status, self.state.detail = status, detail
        self._changed()


def last_line(path: Path) -> str:
    """The last telling line of a log: not a stack frame, at most 300 characters."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 16_384))
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines()]
    telling = [line for line in lines if line and not line.startswith(("at ", "... "))]
    return (telling or ["(empty)"])[-1][:300]


def keep_one_old(path: Path, limit_bytes: int = 20_000_000) -> None:
    """Moves a stdout file that grew above the limit to `<name>.1` before a start."""
    if path.exists() and path.stat().st_size > limit_bytes:
        path.replace(path.with_name(f"{path.name}.1"))
