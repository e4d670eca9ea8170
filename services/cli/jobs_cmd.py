"""`sentinel jobs`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from services.cli.output import Output, print_json, print_table
from services.cli.progress import Progress
from services.cli.status_cmd import JOB_COLUMNS, JOB_NUMBERS, job_rows
from services.stack.errors import StackError
from services.stack.flink_rest import ENDED, FlinkRest
from services.stack.paths import Layout, default_home
from services.stack.ports import HOST
from services.stack.state import require_state
from services.stack.wanted import unwant_job, wanted_jobs

app = typer.Typer(no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name of the job.")]


@app.command("submit")
def submit_job(
    topology: Annotated[str, typer.Argument(help="Topology, such as standalone; or a dotted module name.")],
    args: Annotated[list[str] | None, typer.Argument(help="Arguments for a module of your own; the topologies of jobs/ take none.")] = None,
    parallelism: Annotated[
        int | None,
        typer.Option("--parallelism", "-p", min=1, max=720, help="Slots to run on; else as many as flink-conf/<topology>.yaml says."),
    ] = None,
    restore: Annotated[
        Path | None, typer.Option("--from", exists=True, file_okay=False, help="Savepoint or checkpoint folder to start from.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start without state, even when a checkpoint of an earlier run is there.")] = False,
    drop_unclaimed: Annotated[
        bool, typer.Option("--drop-unclaimed", help="After a change of the topology: leave state behind that it has no operator for.")
    ] = False,
) -> None:
    """Submit a topology; wait until it runs and its first checkpoint has completed."""
    from services.stack.submit import job_name, module_of, submit, wait_running

    progress, layout, name = Progress(), Layout(default_home()), job_name(topology)
    progress.say(f"submitting {name}")
    submitted = submit(
        layout,
        name,
        module_of(topology),
        args or [],
        parallelism=parallelism,
        restore=restore,
        fresh=fresh,
        drop_unclaimed=drop_unclaimed,
    )
    origin = f"from {submitted.restored_from}" if submitted.restored_from else "without state"
    progress.say(f"job {name} accepted as {submitted.job_id}, {origin}")
    wait_running(layout, name, progress.say)


@app.command("list")
def list_jobs(output: Annotated[Output, typer.Option("--output", "-o", help="table or json.")] = Output.table) -> None:
    """List jobs with state, restarts and checkpoints."""
    from services.stack.status import job_list

    layout = Layout(default_home())
    jobs = job_list(layout, require_state(layout))
    if output is Output.json:
        print_json(jobs)
    else:
        print_table(JOB_COLUMNS, job_rows(jobs), numbers=JOB_NUMBERS)


@app.command("cancel")
def cancel_job(name: Name) -> None:
    """Cancel a job; its checkpoints stay, and the next submission starts from the newest one."""
    progress, layout = Progress(), Layout(default_home())
    rest, job_id = _find(layout, name)
    unwant_job(layout, name)
    rest.cancel(job_id)
    while rest.job(job_id).state not in ENDED:
        time.sleep(0.2)
    progress.say(f"job {name} is {rest.job(job_id).state.lower()}")


@app.command("savepoint")
def savepoint(
    name: Name,
    stop: Annotated[bool, typer.Option("--stop", help="End the job with it: what starts from it repeats nothing.")] = False,
) -> None:
    """Write a savepoint of a running job and print its folder."""
    layout = Layout(default_home())
    rest, job_id = _find(layout, name)
    request = rest.trigger_savepoint(job_id, (layout.data / "savepoints" / name).as_uri(), stop=stop)
    while (location := rest.savepoint_result(job_id, request)) is None:
        time.sleep(0.2)
    if stop:
        unwant_job(layout, name)
        while rest.job(job_id).state not in ENDED:
            time.sleep(0.2)
    print(location.removeprefix("file://").removeprefix("file:"))


@app.command("graph")
def graph(name: Name) -> None:
    """Print the graph of a running job as a Mermaid flow chart."""
    from services.stack.job_graph import mermaid

    rest, job_id = _find(Layout(default_home()), name)
    print(mermaid(rest.call(f"/jobs/{job_id}")), end="")


def _find(layout: Layout, name: str) -> tuple[FlinkRest, str]:
    rest = FlinkRest(f"http://{HOST}:{require_state(layout).ports['flink']}")
    wanted = wanted_jobs(layout).get(name)
    running = [job for job in rest.jobs() if job.state not in ENDED]
    for job in running:
        if job.job_id == (wanted.job_id if wanted else None) or job.name == name:
            return rest, job.job_id
    known = ", ".join(sorted({job.name for job in running})) or "none"
    raise StackError(f"No job '{name}' is running; running are: {known}.")
