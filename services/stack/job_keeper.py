"""Keeps the wanted jobs running: what the JobManager has forgotten (it died) is submitted again from the newest checkpoint."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor

from services.stack.flink_rest import FlinkRest
from services.stack.paths import Layout
from services.stack.ports import HOST
from services.stack.service import Context
from services.stack.wanted import wanted_jobs

log = logging.getLogger(__name__)

LOOK_EVERY_S = 2.0
MAX_ATTEMPTS = 5
TIME_LIMIT_S = 300.0


class JobKeeper:
    """Looks every two seconds, submits in a thread of its own, one job at a time."""

    def __init__(self, layout: Layout, context: Context) -> None:
        self._layout, self._context = layout, context
        self._rest = FlinkRest(f"http://{HOST}:{context.ports['flink']}")
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="resubmit")
        self._running: Future[None] | None = None
        self._client: subprocess.Popen[bytes] | None = None
        self._attempts: dict[str, int] = {}
        self.errors: dict[str, str] = {}
        self._next_look = 0.0
        self._stopped = False

    def look(self, flink_healthy: bool) -> None:
        """Submits every wanted job that the JobManager does not list. Quick; called from the supervisor's loop."""
        if not flink_healthy or time.monotonic() < self._next_look or (self._running and not self._running.done()):
            return
        self._next_look = time.monotonic() + LOOK_EVERY_S
        wanted = wanted_jobs(self._layout)
        if not wanted:
            return
        try:
            known = {job.job_id for job in self._rest.jobs()}
        except OSError:
            return
        for name in [name for name, job in wanted.items() if job.job_id in known]:
            self._attempts.pop(name, None)
            self.errors.pop(name, None)
        missing = [job.name for job in wanted.values() if job.job_id not in known and self._attempts.get(job.name, 0) < MAX_ATTEMPTS]
        if missing:
            self._running = self._pool.submit(self._resubmit, missing[0])

    def forget(self) -> None:
        """Called when the JobManager died: every job gets its full number of attempts again."""
        self._attempts.clear()

    def stop(self) -> None:
        """Ends a submission that is under way."""
        self._stopped = True
        if self._client is not None and self._client.poll() is None:
            self._client.terminate()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _resubmit(self, name: str) -> None:
        if self._stopped:
            return
        attempt = self._attempts[name] = self._attempts.get(name, 0) + 1
        log.warning("job %s is not known to the JobManager: submitting it again, attempt %d of %d", name, attempt, MAX_ATTEMPTS)
        command = [sys.executable, "-m", "services.stack.resubmit", name]
        self._client = subprocess.Popen(
            command, env=self._context.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        try:
            output, _ = self._client.communicate(timeout=TIME_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._client.kill()
            output, _ = self._client.communicate()
        last = (output.decode(errors="replace").strip().splitlines() or ["no output"])[-1]
        log.log(logging.INFO if self._client.returncode == 0 else logging.ERROR, "job %s: %s", name, last)
        if self._client.returncode != 0:
            self.errors[name] = f"attempt {attempt} of {MAX_ATTEMPTS} failed: {last}"
            self._next_look = time.monotonic() + min(30.0, 3.0 * 2**attempt)
