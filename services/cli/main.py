"""The `sentinel` command.

Every sub-command lives in a module of its own, named in TABLE. Only the module of the command that was asked for is imported, so that
`sentinel --help` stays fast and a part that is missing or broken does not disturb the others. Data go to stdout, progress to stderr.
Exit codes: 0 done, 1 failed (one sentence on stderr), 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

TABLE: tuple[tuple[str, str, str], ...] = (
    ("up", "services.cli.up_cmd", "Start the embedded stack (Kafka, Postgres, OpenSearch, Flink), or join the running one."),
    ("down", "services.cli.down_cmd", "Stop the stack; its data stay."),
    ("status", "services.cli.status_cmd", "Show services, memory and jobs."),
    ("logs", "services.cli.logs_cmd", "Show the log of a service."),
    ("reset", "services.cli.reset_cmd", "Stop the stack and delete its data."),
    ("jobs", "services.cli.jobs_cmd", "Submit, list, cancel and savepoint Flink jobs."),
    ("config", "services.cli.config_cmd", "Check, show and apply sentinel-config.yaml."),
    ("models", "services.cli.models_cmd", "Train, list, shadow, promote and roll back models on pane vectors."),
    ("alerts", "services.cli.alerts_cmd", "List, explain, acknowledge and silence alerts; try routes and timelines."),
    ("detectors", "services.cli.detectors_cmd", "List the kinds of detectors, and those that fail."),
    ("sql", "services.cli.sql_cmd", "Run a SQL query and print a table."),
    ("dlq", "services.cli.dlq_cmd", "List, show and replay dead letters."),
    ("redact", "services.cli.redact_cmd", "Redact personal data and secrets in texts, as the product does."),
    ("generate", "services.cli.traffic_cmd", "Write seeded telemetry traffic to Kafka or a file."),
    ("replay", "services.cli.traffic_cmd", "Replay a recorded trace into Kafka."),
    ("inject-plan", "services.cli.traffic_cmd", "Show or check an injection plan."),
    ("backtest", "services.cli.backtest_cmd", "Try a detector on recorded data."),
    ("fit", "services.cli.fit_cmd", "Fit a forecast to the past and print its detector."),
    ("classify", "services.cli.classify_cmd", "Score prompts for injection and jailbreak."),
    ("demo", "services.cli.demo_cmd", "Replay traffic with injected trouble and watch it being found."),
    ("gateway", "services.cli.gateway_cmd", "Take telemetry by gRPC, HTTP, OTLP and AMQP."),
    ("sidecar", "services.cli.sidecar_cmd", "Take an application's telemetry beside it and send it on."),
    ("dispatcher", "services.cli.dispatcher_cmd", "Run and inspect the notification dispatcher."),
    ("governance", "services.cli.governance_cmd", "Push metrics to the Governance Dashboard."),
    ("shield", "services.cli.shield_cmd", "Enforce and revoke at LLM-Shield; run the reference Shield."),
)
"""(command, module, line of help). A module has `register(app)`, which adds its commands, or `app`, which becomes the group or command."""


def _show_version(value: bool) -> None:
    if value:
        try:
            print(f"sentinel {version('llm-sentinel')}")
        except PackageNotFoundError:
            print("sentinel (not installed)")
        raise typer.Exit


def _root(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """LLM-Sentinel: anomaly detection and alerting for LLM applications, on Apache Flink."""


def _not_loaded() -> None:
    """Placeholder of a command whose module was not asked for; never runs."""


def build(requested: str | None) -> typer.Typer:
    """The application with the module of `requested` loaded and a line of help for every other command."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)
    app.callback()(_root)
    loaded = next((module for name, module, _ in TABLE if name == requested), None)
    done = False
    for name, module, text in TABLE:
        if module != loaded:
            app.command(name, help=text)(_not_loaded)
        elif not done:
            _attach(app, name, module, text)
            done = True
    return app


def _attach(app: typer.Typer, name: str, module: str, text: str) -> None:
    try:
        part = import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        print(f"sentinel: the command '{name}' is not part of this installation ({module} is missing).", file=sys.stderr)
        raise SystemExit(1) from None
    if hasattr(part, "register"):
        part.register(app)
    elif len(part.app.registered_commands) == 1 and not part.app.registered_groups and part.app.registered_callback is None:
        app.command(name, help=text)(part.app.registered_commands[0].callback)
    else:
        app.add_typer(part.app, name=name, help=text)


def requested_command(arguments: list[str]) -> str | None:
    """The first argument that is not an option."""
    return next((argument for argument in arguments if not argument.startswith("-")), None)


def run(arguments: list[str]) -> int:
    """Runs one command line; returns its exit code."""
    from services.stack.errors import StackError

    try:
        build(requested_command(arguments))(arguments, prog_name="sentinel")
    except StackError as error:
        print(f"sentinel: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, typer.Abort):
        print("sentinel: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader (head, less) has left: point stdout elsewhere, so that the interpreter's last flush does not fail too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    return 0


def main() -> None:
    """Entry point of the `sentinel` command."""
    raise SystemExit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
