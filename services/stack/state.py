"""State of a running stack, as the supervisor writes it, and the endpoints that every other part reads from it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from services.stack.errors import StackError
from services.stack.paths import Layout, default_home
from services.stack.ports import HOST
from services.stack.processes import ProcessRef

POSTGRES_USER = "sentinel"
POSTGRES_DATABASE = "sentinel"

ServiceStatus = Literal["waiting", "starting", "healthy", "unhealthy", "restarting", "failed", "stopped"]
Phase = Literal["starting", "ready", "failed", "stopping"]


class ServiceState(BaseModel):
    """One supervised service. Times are seconds since the epoch."""

    status: ServiceStatus = "waiting"
    process: ProcessRef | None = None
    port: int | None = None
    healthy_since: float | None = None
    restarts: int = 0
    detail: str = ""


class State(BaseModel):
    """Everything that `.sentinel/run/state.json` holds."""

    supervisor: ProcessRef
    phase: Phase = "starting"
    message: str = ""
    started: float
    ports: dict[str, int]
    moved: dict[str, int] = {}
    """Service → documented port, for services that had to take another one."""
    services: dict[str, ServiceState]
    job_errors: dict[str, str] = {}
    """Job name → why the supervisor's newest attempt to submit it again failed."""


@dataclass(frozen=True)
class Endpoints:
    """Where the services of a running stack listen; all on 127.0.0.1."""

    home: Path
    kafka_bootstrap: str
    postgres_dsn: str
    """libpq URI for psycopg and SQLAlchemy."""
    jdbc_url: str
    """For Flink's JDBC connector; `stringtype=unspecified` lets text columns of a job fill jsonb and timestamptz ones."""
    jdbc_user: str
    jdbc_password: str
    opensearch_url: str
    flink_rest_url: str


def write_atomically(path: Path, text: str, mode: int = 0o600) -> None:
    """Replaces `path` in one step, so that readers never see half a file."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
        file.write(text)
    scratch.replace(path)


def read_state(layout: Layout) -> State | None:
    """The state file's content, whether or not its supervisor still lives; None when there is none or it is of another version."""
    try:
        return State.model_validate_json(layout.state_file.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def running_state(layout: Layout) -> State | None:
    """State of a stack whose supervisor is alive, else None."""
    state = read_state(layout)
    return state if state is not None and state.supervisor.alive() else None


def require_state(layout: Layout) -> State:
    """As `running_state`; raises StackError when no stack is up."""
    state = running_state(layout)
    if state is None:
        raise StackError(f"No stack is running for {layout.home}; start one with 'sentinel up'.")
    return state


def endpoints_of(layout: Layout, ports: dict[str, int]) -> Endpoints:
    """Endpoints for the chosen ports and the generated Postgres password."""
    password = layout.password_file.read_text().strip()
    postgres = f"{HOST}:{ports['postgres']}/{POSTGRES_DATABASE}"
    return Endpoints(
        home=layout.home,
        kafka_bootstrap=f"{HOST}:{ports['kafka']}",
        postgres_dsn=f"postgresql://{POSTGRES_USER}:{password}@{postgres}",
        jdbc_url=f"jdbc:postgresql://{postgres}?stringtype=unspecified",
        jdbc_user=POSTGRES_USER,
        jdbc_password=password,
        opensearch_url=f"http://{HOST}:{ports['opensearch']}",
        flink_rest_url=f"http://{HOST}:{ports['flink']}",
    )


def load_endpoints(home: Path | None = None) -> Endpoints:
    """Endpoints of the running stack at `home` (default: `$SENTINEL_HOME` or the checkout's). Raises StackError when none is up."""
    layout = Layout(home or default_home())
    return endpoints_of(layout, require_state(layout).ports)
