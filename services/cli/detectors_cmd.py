"""`sentinel detectors`: which kinds of detectors there are, those of other packages among them, and which detectors fail."""

from __future__ import annotations

import sys
from typing import Annotated, Any, Literal

import typer

from sentinel.config.plugins import load_plugin, plugin_points
from sentinel.config.runnable import RUNNABLE
from sentinel.config.strategies import STRATEGIES
from services.cli.connection import NoAddressError, postgres_dsn
from services.cli.output import print_json, print_table
from services.cli.safe_text import safe_text
from services.cli.sql_cmd import QueryError, as_json, print_rows, run_query

app = typer.Typer(no_args_is_help=True)
Output = Annotated[Literal["table", "json"], typer.Option("--output", "-o", help="table or json.")]

_FAILURES = """SELECT record #>> '{labels,failed_detector}' AS detector, tenant_id, application_id, sum(count)::bigint AS failures,
       max(last_seen) AS last_seen, (array_agg(description ORDER BY last_seen DESC))[1] AS what
FROM sentinel.anomalies WHERE detector_id = 'detector-failure' GROUP BY 1, 2, 3 ORDER BY last_seen DESC"""


@app.command("list")
def list_detectors(output: Output = "table") -> None:
    """The strategies that a detector's `strategy` may name, and the installed detectors for strategy custom."""
    rows = [_strategy(name) for name in STRATEGIES] + [_plugin(name) for name in plugin_points()]
    if output == "json":
        print_json(rows)
        return
    print_table(("strategy", "detector", "types", "from", "what"), [[safe_text(str(value)) for value in row.values()] for row in rows])


@app.command()
def failures(
    output: Output = "table",
    tenant: Annotated[str, typer.Option(help="Only rows of this tenant; * = all.")] = "*",
    dsn: Annotated[str | None, typer.Option(help="Postgres; default: SENTINEL_POSTGRES_DSN, else the running stack.")] = None,
) -> None:
    """Detectors that threw or could not be built, where, how often and why; nothing when all is well."""
    try:
        columns, rows, _ = run_query(postgres_dsn(dsn), _FAILURES, tenant=tenant)
    except (QueryError, NoAddressError) as error:
        print(safe_text(str(error), keep_lines=True), file=sys.stderr)
        raise typer.Exit(1) from None
    if output == "json":
        sys.stdout.write(as_json(columns, rows))
    elif rows:
        print_rows(columns, rows)
    else:
        print("no detector has failed", file=sys.stderr)


def _strategy(name: str) -> dict[str, Any]:
    strategy = STRATEGIES[name]
    what = (strategy.params.__doc__ or "").strip().splitlines()[0]
    return {
        "strategy": name,
        "detector": "",
        "types": ", ".join(sorted(strategy.types)),
        "from": "built in" if name in RUNNABLE else "not run by this release",
        "what": what,
    }


def _plugin(name: str) -> dict[str, Any]:
    point = plugin_points()[name]
    package = f"{point.dist.name} {point.dist.version}" if point.dist else point.value
    try:
        what = (load_plugin(name).__doc__ or "").strip().splitlines()[0]
    except (ValueError, IndexError) as error:
        what = str(error) if isinstance(error, ValueError) else ""
    return {"strategy": "custom", "detector": name, "types": "", "from": package, "what": what}
