"""The part of Flink's REST API that the stack uses."""

# ruff: noqa: S310 - the URL is always the loopback address of our own JobManager

from __future__ import annotations

import contextlib
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from services.stack.errors import StackError

ENDED = {"FINISHED", "CANCELED", "FAILED", "SUSPENDED"}


@dataclass(frozen=True)
class JobInfo:
    """A job of the cluster. Times are milliseconds since the epoch, as Flink tells them."""

    job_id: str
    name: str
    state: str
    started_ms: int
    restarts: int = 0
    checkpoints_completed: int = 0
    checkpoints_failed: int = 0
    last_checkpoint_ms: int | None = None
    last_checkpoint_path: str | None = None


class FlinkRest:
    """Blocking client with short time limits; OSError when the JobManager does not answer."""

    def __init__(self, url: str, timeout_s: float = 3.0) -> None:
        self.url = url
        self._timeout_s = timeout_s

    def call(self, path: str, body: dict[str, Any] | None = None, method: str | None = None) -> dict[str, Any]:
        """One request; the JSON object of the answer. Raises StackError with Flink's own first error line for HTTP errors."""
        found = self._answer(path, body, method)
        return found if isinstance(found, dict) else {}

    def entries(self, path: str) -> list[dict[str, Any]]:
        """As `call`, where the answer is a list, as those of metrics, watermarks and settings are."""
        found = self._answer(path)
        return found if isinstance(found, list) else []

    def _answer(self, path: str, body: dict[str, Any] | None = None, method: str | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_s) as answer:
                content = answer.read()
        except urllib.error.HTTPError as error:
            raise StackError(f"Flink answered {error.code} to {path}: {_first_error(error.read())}") from error
        return json.loads(content) if content else None

    def overview(self) -> dict[str, Any]:
        """Cluster overview: slots, task managers, version."""
        return self.call("/overview")

    def task_managers(self) -> list[str]:
        """Resource ids of the registered TaskManagers."""
        return [str(one["id"]) for one in self.call("/taskmanagers").get("taskmanagers", [])]

    def jobs(self) -> list[JobInfo]:
        """All jobs the JobManager remembers, newest first, without checkpoint figures."""
        found = self.call("/jobs/overview").get("jobs", [])
        jobs = [JobInfo(job["jid"], job["name"], job["state"], job["start-time"]) for job in found]
        return sorted(jobs, key=lambda job: -job.started_ms)

    def job(self, job_id: str) -> JobInfo:
        """One job with restarts and checkpoint figures."""
        detail = self.call(f"/jobs/{job_id}")
        checkpoints = self.call(f"/jobs/{job_id}/checkpoints")
        counts = checkpoints.get("counts", {})
        last = (checkpoints.get("latest") or {}).get("completed") or {}
        return JobInfo(
            job_id=job_id,
            name=detail["name"],
            state=detail["state"],
            started_ms=detail["start-time"],
            restarts=self.restarts(job_id),
            checkpoints_completed=counts.get("completed", 0),
            checkpoints_failed=counts.get("failed", 0),
            last_checkpoint_ms=last.get("latest_ack_timestamp"),
            last_checkpoint_path=last.get("external_path"),
        )

    def restarts(self, job_id: str) -> int:
        """`numRestarts` of a job; 0 while Flink knows none."""
        with contextlib.suppress(StackError):
            return sum(int(float(metric["value"])) for metric in self.entries(f"/jobs/{job_id}/metrics?get=numRestarts"))
        return 0

    def late_dropped(self, job_id: str) -> int:
        """Rows that came too late for a window, which drops them, since the job's last start: `numLateRecordsDropped` of all its windows.

        Of a window planned in two steps what the first one merged is one row; ours are planned in one.
        """
        dropped = 0
        for vertex in self.call(f"/jobs/{job_id}").get("vertices", []):
            if "WindowAggregate" in vertex["name"]:
                path = f"/jobs/{job_id}/vertices/{vertex['id']}/subtasks/metrics"
                # Flink knows none of a task that has just started.
                with contextlib.suppress(StackError):
                    names = ",".join(one["id"] for one in self.entries(path) if one["id"].endswith("numLateRecordsDropped"))
                    dropped += sum(int(float(one["sum"])) for one in self.entries(f"{path}?agg=sum&get={names}")) if names else 0
        return dropped

    def tasks_running(self, job_id: str) -> bool:
        """Whether every task of the job runs."""
        vertices = self.call(f"/jobs/{job_id}").get("vertices", [])
        return bool(vertices) and all(vertex["status"] in ("RUNNING", "FINISHED") for vertex in vertices)

    def root_cause(self, job_id: str) -> str | None:
        """The innermost message of the job's newest failure, or None when it never failed."""
        entries = self.call(f"/jobs/{job_id}/exceptions?maxExceptions=1").get("exceptionHistory", {}).get("entries", [])
        return innermost(entries[0]["stacktrace"]) if entries else None

    def cancel(self, job_id: str) -> None:
        """Asks the job to cancel; its checkpoints stay."""
        self.call(f"/jobs/{job_id}?mode=cancel", method="PATCH")

    def trigger_savepoint(self, job_id: str, folder: str, *, stop: bool = False) -> str:
        """Starts a savepoint below `folder` (a URI); returns the request id for `savepoint_result`. With `stop` it is the last that the job does."""
        path, body = ("stop", {"targetDirectory": folder}) if stop else ("savepoints", {"target-directory": folder, "cancel-job": False})
        answer = self.call(f"/jobs/{job_id}/{path}", body)
        return str(answer["request-id"])

    def savepoint_result(self, job_id: str, request_id: str) -> str | None:
        """Location of the savepoint, None while it is being written; raises StackError when it failed."""
        answer = self.call(f"/jobs/{job_id}/savepoints/{request_id}")
        if answer.get("status", {}).get("id") != "COMPLETED":
            return None
        operation = answer.get("operation", {})
        if "failure-cause" in operation:
            raise StackError(f"The savepoint of job {job_id} failed: {innermost(operation['failure-cause'].get('stack-trace', ''))}")
        return str(operation["location"])


def innermost(stacktrace: str) -> str:
    """The message of the last `Caused by:` of a Java stack trace, or of the Python error inside it, in one line."""
    lines = [line.strip() for line in stacktrace.splitlines() if line.strip()]
    python = [line for line in lines if _python_error(line)]
    if "Traceback (most recent call last)" in stacktrace and python:
        return python[-1]
    causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    return (causes or lines or ["no reason given"])[-1 if causes else 0]


def _python_error(line: str) -> bool:
    head, colon, _ = line.partition(":")
    name = head.rsplit(".", 1)[-1]
    return bool(colon) and " " not in head and name.endswith(("Error", "Exception", "Interrupt")) and not head.startswith(("org.", "java."))


def _first_error(body: bytes) -> str:
    try:
        errors = json.loads(body).get("errors", [])
    except ValueError:
        return body.decode(errors="replace")[:200]
    text = str(errors[-1]) if errors else "no reason given"
    return innermost(text)
