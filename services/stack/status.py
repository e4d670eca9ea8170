"""What `sentinel status` shows: services with memory, jobs with restarts and checkpoints."""

from __future__ import annotations

import time
from typing import Any

from services.stack.errors import StackError
from services.stack.flink_rest import ENDED, FlinkRest
from services.stack.paths import Layout
from services.stack.ports import HOST
from services.stack.processes import ProcessRef
from services.stack.state import State, running_state
from services.stack.wanted import WantedJob, wanted_jobs


def status(layout: Layout) -> dict[str, Any]:
    """The whole status as JSON-ready data; `running` is false and the lists are empty when no stack is up. Memory is PSS in bytes."""
    state = running_state(layout)
    if state is None:
        return {"running": False, "home": str(layout.home), "phase": "stopped", "services": [], "jobs": [], "memory_bytes": 0}
    services = [_service("supervisor", state.supervisor, "healthy", None, state.started, 0, state.message)]
    for name, service in state.services.items():
        services.append(
            _service(name, service.process, service.status, service.port, service.healthy_since, service.restarts, service.detail)
        )
    return {
        "running": True,
        "home": str(layout.home),
        "phase": state.phase,
        "uptime_s": round(time.time() - state.started, 1),
        "flink_url": f"http://{HOST}:{state.ports['flink']}",
        "memory_bytes": sum(service["memory_bytes"] for service in services),
        "services": services,
        "jobs": job_list(layout, state),
    }


def _service(
    name: str, ref: ProcessRef | None, health: str, port: int | None, since: float | None, restarts: int, detail: str
) -> dict[str, Any]:
    alive = ref is not None and ref.alive()
    own_memory = 0
    if ref is not None and alive:
        own_memory = ref.pss_bytes() if name != "supervisor" else _own_pss(ref)
    return {
        "name": name,
        "pid": ref.pid if ref is not None and alive else None,
        "port": port,
        "health": health,
        "uptime_s": round(time.time() - since, 1) if since and alive else None,
        "memory_bytes": own_memory,
        "restarts": restarts,
        "detail": detail,
    }


def _own_pss(ref: ProcessRef) -> int:
    """Of the supervisor alone: its children are the services, listed themselves."""
    process = ref.process()
    return int(process.memory_full_info().pss) if process is not None else 0


def job_list(layout: Layout, state: State) -> list[dict[str, Any]]:
    """Wanted jobs, and others that the cluster runs. Times in milliseconds since the epoch."""
    rest = FlinkRest(f"http://{HOST}:{state.ports['flink']}")
    wanted = {job.job_id: job for job in wanted_jobs(layout).values()}
    rows: list[dict[str, Any]] = []
    try:
        listed = rest.jobs()
        for job in listed:
            if job.job_id in wanted or job.state not in ENDED:
                rows.append(_job(rest, job.job_id, wanted.get(job.job_id)))
    except (OSError, StackError):
        listed = []
    known = {row["job_id"] for row in rows}
    rows += [
        {"name": job.name, "job_id": job_id, "state": "MISSING", "wanted": True, "restarts": 0, "checkpoints": 0}
        | {
            "late_dropped": 0,
            "last_checkpoint_ms": None,
            "last_checkpoint_path": None,
            "cause": state.job_errors.get(job.name, "waits for its resubmission"),
        }
        for job_id, job in wanted.items()
        if job_id not in known
    ]
    return sorted(rows, key=lambda row: str(row["name"]))


def _job(rest: FlinkRest, job_id: str, wanted: WantedJob | None) -> dict[str, Any]:
    info = rest.job(job_id)
    return {
        "name": wanted.name if wanted else info.name,
        "job_id": job_id,
        "state": info.state,
        "wanted": wanted is not None,
        "restarts": info.restarts,
        "checkpoints": info.checkpoints_completed,
        "late_dropped": rest.late_dropped(job_id) if info.state == "RUNNING" else 0,
        "last_checkpoint_ms": info.last_checkpoint_ms,
        "last_checkpoint_path": info.last_checkpoint_path,
        "cause": rest.root_cause(job_id) if info.state == "FAILED" or info.restarts else None,
    }
