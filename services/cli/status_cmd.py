"""`sentinel status`."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from services.cli.output import Output, duration, print_json, print_table


def job_rows(jobs: list[dict[str, Any]]) -> list[tuple[object, ...]]:
    """Table rows of jobs: name, state, restarts, checkpoints, age of the newest one, rows that windows dropped as too late, id, cause."""
    rows: list[tuple[object, ...]] = []
    for job in jobs:
        last = job["last_checkpoint_ms"]
        age = f"{duration(time.time() - last / 1000)} ago" if last else ""
        rows.append(
            (job["name"], job["state"], job["restarts"], job["checkpoints"], age, job["late_dropped"], job["job_id"], job["cause"] or "")
        )
    return rows


JOB_COLUMNS = ("job", "state", "restarts", "checkpoints", "last checkpoint", "dropped as late", "id", "cause")
JOB_NUMBERS = ("restarts", "checkpoints", "dropped as late")


def status(output: Annotated[Output, typer.Option("--output", "-o", help="table or json.")] = Output.table) -> None:
    """Show each service with pid, port, health, uptime and memory (PSS), and each job. Exit code 1 when no stack is running."""
    from services.stack.paths import Layout, default_home
    from services.stack.status import status as gather

    found = gather(Layout(default_home()))
    if output is Output.json:
        print_json(found)
    elif not found["running"]:
        print(f"no stack is running for {found['home']}")
    else:
        rows = [
            (
                one["name"],
                one["health"],
                one["pid"],
                one["port"],
                duration(one["uptime_s"]),
                f"{one['memory_bytes'] / 2**20:.0f}",
                one["restarts"],
                one["detail"],
            )
            for one in found["services"]
        ]
        rows.append(
            (
                "total",
                found["phase"],
                None,
                None,
                duration(found["uptime_s"]),
                f"{found['memory_bytes'] / 2**20:.0f}",
                None,
                found["flink_url"],
            )
        )
        columns = ("service", "health", "pid", "port", "uptime", "memory MiB", "restarts", "detail")
        print_table(columns, rows, numbers=("pid", "port", "uptime", "memory MiB", "restarts"))
        if found["jobs"]:
            print()
            print_table(JOB_COLUMNS, job_rows(found["jobs"]), numbers=JOB_NUMBERS)
    if not found["running"]:
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("status")(status)
