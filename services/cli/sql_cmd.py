"""`sentinel sql`: one read-only query over the views that schema `analytics` documents."""

from __future__ import annotations

import csv
import io
import re
import sys
from difflib import get_close_matches
from typing import Annotated, Any, Literal

import orjson
import psycopg
import typer
from psycopg import sql

from services.cli.connection import NoAddressError, postgres_dsn
from services.cli.output import print_table
from services.cli.safe_text import safe_text

Columns = list[str]
Rows = list[tuple[Any, ...]]

_UNKNOWN = re.compile(r'relation "(?P<relation>[^"]+)" does not exist')


class QueryError(RuntimeError):
    """The query failed; the text says why, and where it can, what to write instead."""


def register(app: typer.Typer) -> None:
    """Add the command to the `sentinel` command."""
    app.command("sql")(sql_command)


def sql_command(
    query: Annotated[str, typer.Argument(help="One SELECT, over views such as anomalies, alerts, metrics_1m.")],
    output: Annotated[Literal["table", "json", "csv"], typer.Option("--output", "-o", help="table, json (one array) or csv.")] = "table",
    tenant: Annotated[str, typer.Option(help="Only rows of this tenant; * = all.")] = "*",
    limit: Annotated[int, typer.Option(min=1, help="At most so many rows.")] = 10_000,
    timeout: Annotated[float, typer.Option(min=0.001, help="Seconds that the query may take.")] = 30.0,
    dsn: Annotated[str | None, typer.Option(help="Postgres; default: SENTINEL_POSTGRES_DSN, else the running stack.")] = None,
) -> None:
    """Run one read-only query and print its rows."""
    try:
        columns, rows, more = run_query(postgres_dsn(dsn), query, tenant=tenant, limit=limit, timeout_s=timeout)
    except (QueryError, NoAddressError) as error:
        print(safe_text(str(error), keep_lines=True), file=sys.stderr)
        raise typer.Exit(1) from None
    if output == "table":
        print_rows(columns, rows)
    else:
        sys.stdout.write(as_json(columns, rows) if output == "json" else as_csv(columns, rows))
    if more:
        print(f"only the first {limit:,} rows are shown; --limit shows more", file=sys.stderr)


def run_query(dsn: str, query: str, *, tenant: str = "*", limit: int = 10_000, timeout_s: float = 30.0) -> tuple[Columns, Rows, bool]:
    """Columns, rows, and whether there are more than `limit`.

    The query runs as role sentinel_analyst in a read-only transaction, as one statement: it can neither write nor
    step back to the role that connected. Raises QueryError.
    """
    try:
        with psycopg.connect(dsn, connect_timeout=10, application_name="sentinel sql") as connection:
            connection.read_only = True
            try:
                connection.execute("SELECT set_config('statement_timeout', %s, true)", [str(max(1, round(timeout_s * 1000)))])
                connection.execute("SELECT set_config('sentinel.tenant', %s, true), set_config('search_path', 'analytics', true)", [tenant])
                connection.execute("SET LOCAL ROLE sentinel_analyst")
                # A prepared statement holds one command only: "SELECT 1; RESET ROLE; …" is refused by the server.
                cursor = connection.execute(sql.SQL(query), prepare=True)
                if cursor.description is None:
                    raise QueryError(f"expected a query that returns rows, got {cursor.statusmessage}")
                rows = cursor.fetchmany(limit + 1)
                return [column.name for column in cursor.description], rows[:limit], len(rows) > limit
            except psycopg.errors.UndefinedTable as error:
                connection.rollback()
                raise QueryError(_unknown_table(connection, error)) from None
    except psycopg.errors.QueryCanceled:
        raise QueryError(f"the query took longer than {timeout_s:g} s; --timeout gives it more") from None
    except psycopg.OperationalError as error:
        raise QueryError(f"Postgres cannot be reached: {str(error).strip().splitlines()[0]}") from None
    except psycopg.Error as error:
        raise QueryError(_explained(error)) from None


def _explained(error: psycopg.Error) -> str:
    """The server's message, with its hint and the place in the query."""
    told = error.diag
    lines = [told.message_primary or str(error).strip()]
    lines += [f"{name}: {text}" for name, text in (("detail", told.message_detail), ("hint", told.message_hint)) if text]
    if told.statement_position:
        lines.append(f"at character {told.statement_position} of the query")
    return "\n".join(lines)


def _unknown_table(connection: psycopg.Connection[Any], error: psycopg.Error) -> str:
    match = _UNKNOWN.search(str(error))
    name = match["relation"] if match else ""
    views = [row[0] for row in connection.execute("SELECT viewname FROM pg_views WHERE schemaname = 'analytics' ORDER BY 1")]
    if not views:
        return f"there is no view {name!r}: the database has no schema yet (`python -m services.storage.migrate` makes it)"
    near = get_close_matches(name.removeprefix("analytics.").lower(), views, 1, 0.5)
    meant = f"; did you mean {near[0]!r}?" if near else "."
    return f"there is no view {name!r}{meant} Views: {', '.join(views)}"


def print_rows(columns: Columns, rows: Rows) -> None:
    """A table, numbers to the right, and how many rows."""
    numbers = [column for index, column in enumerate(columns) if any(isinstance(row[index], int | float) for row in rows)]
    print_table([safe_text(column) for column in columns], [[_cell(value) for value in row] for row in rows], numbers)
    print(f"{len(rows)} row{'' if len(rows) == 1 else 's'}")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return safe_text(orjson.dumps(value).decode() if isinstance(value, dict | list) else str(value))


def as_json(columns: Columns, rows: Rows) -> str:
    """One JSON array of objects; times in RFC 3339."""
    objects = [dict(zip(columns, row, strict=True)) for row in rows]
    return orjson.dumps(objects, default=str, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


def as_csv(columns: Columns, rows: Rows) -> str:
    """RFC 4180 with a header; NULL is empty, JSON values are JSON text."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([orjson.dumps(v).decode() if isinstance(v, dict | list) else v for v in row] for row in rows)
    return text.getvalue()
