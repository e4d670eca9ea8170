"""`sentinel up`."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.progress import Progress


def up(
    jobs: Annotated[str, typer.Option(help="Topologies to submit when the stack is healthy, comma-separated.")] = "",
    dispatcher: Annotated[bool, typer.Option(help="Run the notification dispatcher as well.")] = True,
    gateway: Annotated[bool, typer.Option(help="Open the doors for telemetry (gRPC, HTTP, OTLP) as well.")] = True,
) -> None:
    """Start the embedded stack, or join the running one.

    Jobs that ran when the stack was last stopped come back from their newest checkpoint.
    """
    from services.stack.bootstrap import bootstrap
    from services.stack.launch import await_service, bring_up
    from services.stack.paths import Layout, default_home
    from services.stack.state import endpoints_of
    from services.stack.submit import ensure_running, job_name
    from services.stack.wanted import want_service, wanted_jobs

    progress, layout = Progress(), Layout(default_home())
    state = bring_up(layout, progress.say, progress.jars)
    endpoints = endpoints_of(layout, state.ports)
    bootstrap(endpoints, progress.say)
    want_service(layout, "dispatcher", dispatcher)
    want_service(layout, "pulse", True)
    want_service(layout, "gateway", gateway)
    asked = [name.strip() for name in jobs.split(",") if name.strip()]
    earlier = [job.name for job in wanted_jobs(layout).values() if job.name not in map(job_name, asked)]
    for topology in [*asked, *earlier]:
        ensure_running(layout, topology, progress.say)
    if gateway:
        await_service(layout, "gateway")
        doors = ", ".join(f"{name} {state.ports[f'gateway-{name}']}" for name in ("http", "grpc", "otlp-http", "otlp-grpc"))
        progress.say(f"telemetry is taken on 127.0.0.1: {doors}")
    progress.say(
        f"ready; Flink at {endpoints.flink_rest_url}, Kafka at {endpoints.kafka_bootstrap}, OpenSearch at {endpoints.opensearch_url}"
    )


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("up")(up)
