"""`python -m services.stack.forkserver.server SOCKET`: imports what the jobs' Python processes need, then forks one for each launcher that asks.

It opens no channel and starts no thread: a thread of its own would hold locks in the copies. A copy ends when its launcher does.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import logging
import os
import pkgutil
import runpy
import selectors
import signal
import socket
import sys
import threading
import traceback
from pathlib import Path
from typing import NoReturn

from services.stack.forkserver.launcher import ACCEPTED, EXIT_CODE, LENGTH

log = logging.getLogger(__name__)

PRELOADED = ("pyflink.fn_execution.beam.beam_sdk_worker_main", "pyflink.datastream", "pyflink.table")
PRELOADED_PACKAGES = ("udfs", "operators", "jobs.stages")
FORK_SAFE_THREADS = {"jemalloc_bg_thd"}
"""Arrow's allocator releases memory in one; it has handlers for a fork, and a copy releases memory without."""
REQUEST_WITHIN_S = 2.0


def preload() -> None:
    """Import what is slow to import. Raises RuntimeError when a module has started a thread."""
    for name in PRELOADED:
        importlib.import_module(name)
    for package in PRELOADED_PACKAGES:
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."):
            importlib.import_module(module.name)
    if started := threads() - FORK_SAFE_THREADS:
        names = ", ".join(sorted(started))
        raise RuntimeError(f"imported modules have started threads ({names}): a copy of this process could wait for their locks for ever")
    gc.collect()
    # The copies share the memory of what is here already, as long as no collection writes into it.
    gc.freeze()


def threads() -> set[str]:
    """Names of the threads of this process beside the main one, those of libraries in C as well where the system tells."""
    tasks = Path("/proc/self/task")
    if not tasks.exists():
        return {thread.name for thread in threading.enumerate() if thread is not threading.main_thread()}
    return {(task / "comm").read_text().strip() for task in tasks.iterdir() if int(task.name) != os.getpid()}


def sources() -> dict[Path, int]:
    """The files of imported modules outside of site-packages, with their times (ns): a copy must not run what somebody has edited since."""
    files = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    ours = [Path(file) for file in files if file and "site-packages" not in file and not file.startswith(sys.base_prefix)]
    return {file: file.stat().st_mtime_ns if file.exists() else 0 for file in ours}


class ForkServer:
    """Serves one socket in one thread."""

    def __init__(self, address: Path) -> None:
        self._sources = sources()
        self._selector = selectors.DefaultSelector()
        self._launchers: dict[int, socket.socket] = {}
        """Child's pid → connection of its launcher."""
        self._ended, wakeup = socket.socketpair()
        for end in (self._ended, wakeup):
            end.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._wakeup = wakeup
        signal.set_wakeup_fd(wakeup.fileno())
        address.unlink(missing_ok=True)
        os.chdir(address.parent)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # Whoever may connect runs code as this user.
        before = os.umask(0o177)
        self._listener.bind(address.name)
        os.umask(before)
        self._listener.listen(32)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._ended, selectors.EVENT_READ)

    def serve(self) -> None:
        """Returns when the sources have changed and no copy of the old ones runs any more."""
        while self._launchers or sources() == self._sources:
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj is self._ended:
                    self._ended.recv(4096)
                    self._bury()
                else:
                    self._launcher_ended(key.data)

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        streams: list[int] = []
        try:
            connection.settimeout(REQUEST_WITHIN_S)
            head, streams, _, _ = socket.recv_fds(connection, LENGTH.size, 3)
            (length,) = LENGTH.unpack(head)
            body = bytearray()
            while len(body) < length and (part := connection.recv(min(65_536, length - len(body)))):
                body += part
            request = json.loads(body)
            if sources() != self._sources:
                log.warning("the sources have changed: the process starts with an interpreter of its own")
                connection.close()
            else:
                connection.sendall(ACCEPTED)
                self._fork(connection, streams, request)
        except (OSError, ValueError) as error:
            log.warning("a request was not understood: %s", error)
            connection.close()
        finally:
            for stream in streams:
                os.close(stream)

    def _fork(self, connection: socket.socket, streams: list[int], request: dict[str, object]) -> None:
        pid = os.fork()
        if pid == 0:
            connection.close()
            self._become(streams, request)
        connection.setblocking(False)
        self._launchers[pid] = connection
        self._selector.register(connection, selectors.EVENT_READ, pid)

    def _launcher_ended(self, pid: int) -> None:
        """Launchers send nothing more: what can be read is their end."""
        if (connection := self._launchers.get(pid)) is None:
            return
        self._selector.unregister(connection)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def _bury(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = found
                connection = self._launchers.pop(pid)
                with contextlib.suppress(KeyError):
                    self._selector.unregister(connection)
                with contextlib.suppress(OSError):
                    connection.sendall(EXIT_CODE.pack(os.waitstatus_to_exitcode(status)))
                connection.close()

    def _become(self, streams: list[int], request: dict[str, object]) -> NoReturn:
        """In the child: be the process that was asked for."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._selector.close()
            for one in (self._listener, self._ended, self._wakeup, *self._launchers.values()):
                one.close()
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
                os.close(stream)
            become(request)
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
            if isinstance(end.code, str):
                print(end.code, file=sys.stderr)
        except BaseException:
            traceback.print_exc()
        finally:
            for stream_ in (sys.stdout, sys.stderr):
                with contextlib.suppress(Exception):
                    stream_.flush()
            os._exit(code)


def become(request: dict[str, object]) -> None:
    """Run the module, code or script of a request, in its folder and environment."""
    environment, folder, arguments = request["environment"], request["folder"], request["arguments"]
    assert isinstance(environment, dict) and isinstance(folder, str) and isinstance(arguments, list)
    logging.getLogger().handlers.clear()
    logging.getLogger().setLevel(logging.WARNING)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path[:0] = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry and entry not in sys.path]
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    elif arguments[0] == "-c":
        sys.argv = ["-c", *arguments[2:]]
        # Flink asks so where its own scripts are, before each worker.
        exec(arguments[1], {"__name__": "__main__"})  # noqa: S102  the caller's own code, as an interpreter runs it
    else:
        sys.argv = arguments
        sys.path.insert(0, str(Path(arguments[0]).parent))
        runpy.run_path(arguments[0], run_name="__main__")


def main() -> None:
    """Serve for ever; argument: path of the socket."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    preload()
    server = ForkServer(Path(sys.argv[1]))
    log.info("ready")
    server.serve()
    log.info("the sources have changed: beginning anew")
    os.execv(sys.executable, [sys.executable, "-m", "services.stack.forkserver.server", sys.argv[1]])  # noqa: S606  itself


if __name__ == "__main__":
    main()
